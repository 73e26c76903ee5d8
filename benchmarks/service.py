"""A real service as a child process, in a data directory of the benchmark's own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import client
from storage.embedded import postgres

# The first start makes a database and converts the model.
START_S = 600
STOP_S = 60


class NotRunning(RuntimeError):
    """The service ended, or is not ready in time; the message holds the end of its log."""


@dataclass(frozen=True)
class Running:
    """A service that is ready, and a connection to it."""

    pid: int
    port: int
    client: client.Client
    data_dir: Path


@contextlib.contextmanager
def running(folder: Path, settings: Mapping[str, str]) -> Iterator[Running]:
    """`vecmark serve` with its data under `folder`, stopped when left, its PostgreSQL with it.

    `settings` are names without the prefix: {"HNSW_MIN_ROWS": "1000"}.
    """
    data_dir, log, port = folder / "data", folder / "service.log", _free_port()
    with log.open("ab") as output:
        child = subprocess.Popen(
            [_program(), "serve"],
            env=_environment(settings, data_dir, port),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C at the terminal is for the benchmark, which then stops the service.
            start_new_session=True,
        )
    try:
        _await_ready(child, port, log)
        with contextlib.closing(client.Client(port)) as http:
            yield Running(child.pid, port, http, data_dir)
    finally:
        _stop(child, data_dir)


@contextlib.contextmanager
def database_url(data_dir: Path) -> Iterator[str]:
    """The embedded database of a running service, as psycopg wants its URL."""
    shared = postgres.EmbeddedPostgres(data_dir)
    try:
        yield shared.start().replace("postgresql+psycopg://", "postgresql://", 1)
    finally:
        shared.stop()


def _program() -> str:
    """The console script of the environment that runs the benchmark."""
    program = Path(sys.executable).with_name("vecmark")
    if not program.exists():
        raise NotRunning(f"there is no {program}; run `make install`")
    return str(program)


def _environment(settings: Mapping[str, str], data_dir: Path, port: int) -> dict[str, str]:
    """This process's, without settings of the service but those given here."""
    dropped = {"MODEL_PATH", "MODEL_SEQ_LEN"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("VECMARK_") and name not in dropped
    }
    given = {**settings, "DATA_DIR": str(data_dir), "HOST": "127.0.0.1", "PORT": str(port)}
    return {**kept, **{f"VECMARK_{name}": value for name, value in given.items()}}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_ready(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise NotRunning(f"the service ended with status {child.returncode}:\n{_tail(log)}")
        with contextlib.closing(client.Client(port)) as http:
            try:
                http.fetch("/readyz")
            except (OSError, client.Refused):
                time.sleep(0.2)
            else:
                return
    raise NotRunning(f"the service is not ready after {START_S} s:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


def _stop(child: subprocess.Popen[bytes], data_dir: Path) -> None:
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if child.returncode != 0 and data_dir.exists():
        # It may have left its PostgreSQL behind: whoever uses that last stops it.
        with postgres.EmbeddedPostgres(data_dir):
            pass
