"""A real `vecmark serve` in its own process, and how a test looks at it from outside."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import psycopg

from storage.embedded import layout, postmaster
from tests import databases, processes, waiting

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-c", "from api.cli.main import main; main()"]
_START_S = 120.0


# Outside the range from which the system takes ports for connections, which would sometimes take
# the port before its service starts.
_ports = itertools.islice(itertools.cycle(range(10_000, 30_000)), os.getpid() * 61 % 20_000, None)


def free_port() -> int:
    """A port that nobody listens on; test processes that run in parallel get other ports."""
    for port in _ports:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("unreachable: the ports come round again")


def environment(data_dir: Path, **settings: object) -> dict[str, str]:
    """The environment of a child: only these settings, none of the machine's."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("VECMARK_")}
    values = {"data_dir": data_dir, **settings}
    named = {f"VECMARK_{key.upper()}": str(value) for key, value in values.items()}
    return {**inherited, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", **named}


def run(data_dir: Path, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a `vecmark` command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(data_dir, **settings),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_START_S,
        check=False,
    )


@dataclass
class Service:
    """A child process that serves; `log` is the file with its output."""

    process: subprocess.Popen[bytes]
    port: int
    data_dir: Path
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, timeout: float = 120) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=timeout, trust_env=False)

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_ready(self, path: str = "/readyz") -> None:
        """Wait until the route succeeds; fails with the log if the process ends."""

        def ready() -> bool:
            assert self.process.poll() is None, self.output()
            try:
                return httpx.get(f"{self.url}{path}", timeout=10, trust_env=False).is_success
            except httpx.TransportError:
                return False

        waiting.until(ready, _START_S, details=self.output)

    def stop(self) -> int:
        """Stop it as a terminal or a container would; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


def prepare(data_dir: Path, cache: Path) -> None:
    """A data directory whose converted models are those of `cache`."""
    data_dir.mkdir(exist_ok=True)
    data_dir.chmod(0o711)
    if not (data_dir / "cache").exists():
        (data_dir / "cache").symlink_to(cache, target_is_directory=True)


@contextlib.contextmanager
def serving(
    data_dir: Path, cache: Path, *arguments: str, ready: bool = True, **settings: object
) -> Iterator[Service]:
    """A service that is always ended afterwards; `cache` holds converted models."""
    prepare(data_dir, cache)
    port = int(str(settings.setdefault("port", free_port())))
    log = data_dir.parent / f"service-{port}.log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            [*COMMAND, "serve", *arguments],
            env=environment(data_dir, **settings),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    service = Service(process, port, data_dir, log)
    try:
        if ready:
            service.wait_ready()
        yield service
    finally:
        if process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                service.stop()
        if process.poll() is None:
            service.kill()


def cluster(data_dir: Path) -> Path:
    return layout.Layout.under(data_dir).cluster


def postgres_processes(data_dir: Path) -> list[psutil.Process]:
    return postmaster.processes(cluster(data_dir))


def postgres_pid(data_dir: Path) -> int:
    """The pid of the embedded PostgreSQL's main process."""
    found = postmaster.process(cluster(data_dir))
    assert found is not None
    return found.pid


def kill_postgres(data_dir: Path) -> None:
    processes.kill(postgres_pid(data_dir))


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """A data directory; afterwards its PostgreSQL is gone, even if its users were killed."""
    with databases.open_directory() as folder:
        data_dir = folder / "data"
        try:
            yield data_dir
        finally:
            first = postmaster.process(cluster(data_dir))
            if first is not None:
                postmaster.end(first)
            for left in postgres_processes(data_dir):
                postmaster.end(left)


@contextlib.contextmanager
def connected(data_dir: Path) -> Iterator[psycopg.Connection]:
    """A separate connection to the embedded database."""
    known = postmaster.record(cluster(data_dir))
    assert known is not None
    with psycopg.connect(
        host=str(known.socket_dir), user="postgres", dbname="vecmark", autocommit=True
    ) as connection:
        yield connection
