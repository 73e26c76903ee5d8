"""Whether PostgreSQL runs on a cluster: shown by a connection, since a pid alone proves nothing."""

import contextlib
import os
import signal
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import psutil
from psycopg import pq

from storage.embedded import accounts, configuration, layout

SUPERUSER = "postgres"


class Answer(Enum):
    READY = "ready"
    BUSY = "starting, recovering or stopping"
    SILENT = "nobody listens"


@dataclass(frozen=True)
class Record:
    """The content of postmaster.pid, which outlives a killed server; others can reuse its pid."""

    pid: int
    socket_dir: Path | None


def ask(socket_dir: Path) -> Answer:
    """What a connection to the socket meets."""
    conninfo = f"host='{socket_dir}' port={configuration.PORT} user={SUPERUSER} dbname=postgres"
    answer = pq.PGconn.ping(f"{conninfo} connect_timeout=5".encode())
    if answer == pq.Ping.OK:
        return Answer.READY
    return Answer.BUSY if answer == pq.Ping.REJECT else Answer.SILENT


def record(cluster: Path) -> Record | None:
    """The cluster's postmaster.pid, unless it was copied with the files of another cluster."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
        if Path(lines[1]) != cluster:
            return None
        folder = lines[4].strip() if len(lines) > 4 else ""
        return Record(int(lines[0]), Path(folder) if folder else None)
    except (OSError, ValueError, IndexError):
        return None


def processes(cluster: Path) -> list[psutil.Process]:
    """Every live PostgreSQL process of the cluster, known by its working directory."""
    return [process for process in psutil.process_iter() if _belongs(process, cluster)]


def process(cluster: Path) -> psutil.Process | None:
    """The process that postmaster.pid names, if it is this cluster's PostgreSQL and alive."""
    recorded = record(cluster)
    if recorded is None:
        return None
    try:
        candidate = psutil.Process(recorded.pid)
    except (psutil.Error, ValueError):
        return None
    return candidate if _belongs(candidate, cluster) else None


def _belongs(candidate: psutil.Process, cluster: Path) -> bool:
    try:
        return candidate.name() == "postgres" and Path(candidate.cwd()) == cluster
    except (psutil.Error, OSError):
        return False


def disown(cluster: Path, account: accounts.Account) -> None:
    """Let the next start ignore a dead server's file, even if another process has its pid now.

    Only for a cluster whose server is known to be gone. PostgreSQL refuses to start while a process
    with the recorded pid lives, but ignores its own parent's pid, which is ours. The file is not
    removed, because its last line lets PostgreSQL find left-over processes that still use the
    shared memory; it refuses to start while there are any.
    """
    path = cluster / "postmaster.pid"
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return
    if lines:
        layout.write(path, "\n".join([str(os.getpid()), *lines[1:]]) + "\n", account)


def end(process: psutil.Process, *, patience_s: float = 120.0) -> None:
    """Stop PostgreSQL: cleanly, or after `patience_s` immediately (its next start recovers)."""
    for number, wait_s in (
        (signal.SIGINT, patience_s),
        (signal.SIGQUIT, 10.0),
        (signal.SIGKILL, 10.0),
    ):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
        try:
            process.wait(wait_s)
            return
        except psutil.TimeoutExpired:
            continue
