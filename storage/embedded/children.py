"""PostgreSQL's programs as child processes: as the right user, with a clean environment."""

import subprocess
from pathlib import Path

from storage.embedded import accounts

# None of the user's PG* variables may reach the server.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
# Servers that this process started, kept so that they can be reaped when they end.
_servers: list[subprocess.Popen[bytes]] = []


def spawn_server(
    command: list[str], account: accounts.Account, *, log: Path
) -> subprocess.Popen[bytes]:
    """Start a server that outlives this process and writes to `log`."""
    with log.open("ab") as file:
        log.chmod(0o600)
        # A separate session: Ctrl-C at the terminal reaches only Vecmark, which then stops it.
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            cwd=log.parent,
            env=_ENVIRONMENT,
            umask=0o077,
            user=account.uid if account.switch else None,
            group=account.gid if account.switch else None,
            extra_groups=[] if account.switch else None,
        )
    _servers.append(server)
    return server


def run(command: list[str], account: accounts.Account, *, folder: Path) -> tuple[int, str]:
    """Run a program to its end; returns its exit status and its output."""
    result = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=folder,
        env=_ENVIRONMENT,
        umask=0o077,
        user=account.uid if account.switch else None,
        group=account.gid if account.switch else None,
        extra_groups=[] if account.switch else None,
    )
    return result.returncode, result.stdout.strip()


def reap() -> None:
    """Reap servers that have ended: a dead child keeps its pid until then."""
    _servers[:] = [server for server in _servers if server.poll() is None]
