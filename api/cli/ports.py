"""The address that the service listens on: claimed before the slow part of a start."""

import contextlib
import errno
import os
import socket
from pathlib import Path

from api.cli import errors


def claim(host: str, port: int) -> socket.socket:
    """A listening socket. Raises Failure saying which process holds the port and what to do."""
    family, address = _resolve(host, port)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        # Listen at once: two sockets can be bound to one port as long as neither listens.
        sock.listen(2048)
    except OSError as error:
        sock.close()
        raise errors.Failure(_reason(error, host, port)) from error
    sock.setblocking(False)
    return sock


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        message = f"the host name {host} can't be resolved ({error.strerror}); set --host"
        raise errors.Failure(message) from error
    return addresses[0][0], addresses[0][4]


def _reason(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        owner = holder(port) or "another program"
        free = port + 1 if port < 65535 else port - 1
        return (
            f"port {port} on {host} is in use by {owner}. Stop it, or choose another port: "
            f"vecmark serve --port {free}, or VECMARK_PORT={free}"
        )
    if error.errno == errno.EACCES:
        return f"this user may not listen on port {port}; choose one above 1023 (--port)"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine; set another --host (VECMARK_HOST)"
    return f"can't listen on {host}:{port}: {error.strerror}"


def holder(port: int) -> str | None:
    """The process that listens on a port, if this is Linux and it shows it to this user."""
    inodes = _listening_inodes(port)
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        with contextlib.suppress(OSError):
            if any(_read_link(entry) in inodes for entry in (process / "fd").iterdir()):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                return f"process {process.name} ({command.decode(errors='replace')[:80].strip()})"
    return None


def _read_link(path: Path) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                columns = line.split()
                # Column 3 is the state: 0A is LISTEN.
                if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{columns[9]}]")
    return inodes
