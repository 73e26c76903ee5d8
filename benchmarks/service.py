"""Starts and stops a real service as a child process with its own data directory."""

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

# The first start creates a database and converts the model.
START_S = 600
STOP_S = 60
HOST = "127.0.0.1"


class NotRunning(RuntimeError):
    """The service exited or wasn't ready in time; the message has the end of its log."""


class CommandFailed(RuntimeError):
    """A `vecmark` command failed; the message has the end of its stderr."""


@dataclass(frozen=True)
class RunningService:
    """A service that is ready, with a connection to it."""

    pid: int
    port: int
    client: client.Client
    data_dir: Path


@contextlib.contextmanager
def running(folder: Path, settings: Mapping[str, str]) -> Iterator[RunningService]:
    """Run `vecmark serve` with its data under `folder`; stop it and its PostgreSQL on exit.

    Names in `settings` have no prefix: {"HNSW_MIN_ROWS": "1000"}.
    """
    data, log, port = data_dir(folder), folder / "service.log", free_port()
    variables = environment({**settings, "HOST": HOST, "PORT": str(port)}, data)
    child = start([program(), "serve"], variables, folder, log)
    try:
        await_ready(child, port, log)
        with contextlib.closing(client.Client(port)) as http:
            yield RunningService(child.pid, port, http, data)
    finally:
        stop(child)
        if child.returncode != 0 and data.exists():
            # It may have left its PostgreSQL behind. The last user stops it on leaving.
            with postgres.EmbeddedPostgres(data):
                pass


def command(folder: Path, settings: Mapping[str, str], *arguments: str) -> None:
    """Run a `vecmark` command on the data under `folder`. Raises CommandFailed."""
    done = subprocess.run(
        [program(), *arguments],
        env=environment(settings, data_dir(folder)),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        output = "\n".join(done.stderr.splitlines()[-10:])
        raise CommandFailed(
            f"vecmark {' '.join(arguments)} exited with status {done.returncode}:\n{output}"
        )


def data_dir(folder: Path) -> Path:
    return folder / "data"


def start(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path
) -> subprocess.Popen[bytes]:
    """Start a server whose output is appended to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C in the terminal must reach only the benchmark, which then stops the server.
            start_new_session=True,
        )


@contextlib.contextmanager
def database_url(data: Path) -> Iterator[str]:
    """URL of a running service's embedded database, in psycopg's format."""
    shared = postgres.EmbeddedPostgres(data)
    try:
        yield shared.start().replace("postgresql+psycopg://", "postgresql://", 1)
    finally:
        shared.stop()


def program() -> str:
    """The `vecmark` script of the environment that runs the benchmark."""
    script = Path(sys.executable).with_name("vecmark")
    if not script.exists():
        raise NotRunning(f"{script} doesn't exist; run `make install`")
    return str(script)


def environment(settings: Mapping[str, str], data: Path) -> dict[str, str]:
    """This process's environment, with `settings` as the only settings of the service.

    Names in `settings` have no prefix: {"HNSW_MIN_ROWS": "1000"}.
    """
    dropped = {"MODEL_PATH", "MODEL_SEQ_LEN"}
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("VECMARK_") and name not in dropped
    }
    own = {**settings, "DATA_DIR": str(data)}
    return {**inherited, **{f"VECMARK_{name}": value for name, value in own.items()}}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def await_ready(
    child: subprocess.Popen[bytes], port: int, log: Path, path: str = "/readyz"
) -> None:
    """Wait until `path` answers 200. Raises NotRunning if the server exits, or after 10 minutes."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise NotRunning(f"the service exited with status {child.returncode}:\n{_tail(log)}")
        with contextlib.closing(client.Client(port)) as http:
            try:
                http.fetch(path)
            except (OSError, client.Refused):
                time.sleep(0.2)
            else:
                return
    raise NotRunning(f"the service wasn't ready after {START_S} s:\n{_tail(log)}")


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
