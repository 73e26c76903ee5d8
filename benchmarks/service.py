"""A real service as a child process, in a data directory of the benchmark's own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import client
from storage.embedded import postgres

# The first start makes a database and converts the model.
START_S = 600
STOP_S = 60
HOST = "127.0.0.1"


class NotRunning(RuntimeError):
    """The service ended, or is not ready in time; the message holds the end of its log."""


class CommandFailed(RuntimeError):
    """A command of the program was not done; the message holds the end of its words."""


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
    data, log, port = data_dir(folder), folder / "service.log", free_port()
    variables = environment({**settings, "HOST": HOST, "PORT": str(port)}, data)
    child = start([program(), "serve"], variables, folder, log)
    try:
        await_ready(child, port, log)
        with contextlib.closing(client.Client(port)) as http:
            yield Running(child.pid, port, http, data)
    finally:
        stop(child)
        if child.returncode != 0 and data.exists():
            # It may have left its PostgreSQL behind: whoever uses that last stops it.
            with postgres.EmbeddedPostgres(data):
                pass


def command(folder: Path, settings: Mapping[str, str], *words: str) -> None:
    """Run `vecmark` with these words over the data under `folder`; CommandFailed."""
    done = subprocess.run(
        [program(), *words],
        env=environment(settings, data_dir(folder)),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = "\n".join(done.stderr.splitlines()[-10:])
        raise CommandFailed(f"vecmark {' '.join(words)} ended with {done.returncode}:\n{said}")


def data_dir(folder: Path) -> Path:
    return folder / "data"


def start(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path
) -> subprocess.Popen[bytes]:
    """A server whose words go to the end of `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C at the terminal is for the benchmark, which then stops the server.
            start_new_session=True,
        )


@contextlib.contextmanager
def database_url(data: Path) -> Iterator[str]:
    """The embedded database of a running service, as psycopg wants its URL."""
    shared = postgres.EmbeddedPostgres(data)
    try:
        yield shared.start().replace("postgresql+psycopg://", "postgresql://", 1)
    finally:
        shared.stop()


def program() -> str:
    """The console script of the environment that runs the benchmark."""
    found = Path(sys.executable).with_name("vecmark")
    if not found.exists():
        raise NotRunning(f"there is no {found}; run `make install`")
    return str(found)


def environment(settings: Mapping[str, str], data: Path) -> dict[str, str]:
    """This process's, without settings of the service but those given here.

    `settings` are names without the prefix: {"HNSW_MIN_ROWS": "1000"}.
    """
    dropped = {"MODEL_PATH", "MODEL_SEQ_LEN"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("VECMARK_") and name not in dropped
    }
    given = {**settings, "DATA_DIR": str(data)}
    return {**kept, **{f"VECMARK_{name}": value for name, value in given.items()}}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def await_ready(
    child: subprocess.Popen[bytes], port: int, log: Path, path: str = "/readyz"
) -> None:
    """Until it answers 200 there; NotRunning where it ends, or after ten minutes."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise NotRunning(f"the service ended with status {child.returncode}:\n{_tail(log)}")
        with contextlib.closing(client.Client(port)) as http:
            try:
                http.fetch(path)
            except (OSError, client.Refused):
                time.sleep(0.2)
            else:
                return
    raise NotRunning(f"the service is not ready after {START_S} s:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


def stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
