"""The processes that get killed: an API, its workers, and the PostgreSQL they share."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks import client, service
from storage.embedded import layout, postgres, postmaster

API, POSTGRES = "api", "postgres"
RESTART_TIMEOUT_S = 120.0
KILL_TIMEOUT_S = 30.0
# A worker logs this once it takes part.
READY_TEXT = "is ready."


class NotRestarted(RuntimeError):
    """A killed process didn't come back."""


@dataclass
class Member:
    """A process of the deployment; each start gets its own log."""

    name: str
    arguments: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    logs: list[Path] = field(default_factory=list)


class Deployment:
    """`vecmark serve --no-worker` and workers over one data directory under `folder`."""

    def __init__(self, folder: Path, settings: Mapping[str, str], *, workers: int = 2) -> None:
        self.folder = folder
        self.data = service.data_dir(folder)
        self.port = service.free_port()
        self._settings = {**settings, "HOST": service.HOST, "PORT": str(self.port)}
        names = [f"worker-{no}" for no in range(1, workers + 1)]
        self.members = {
            API: Member(API, ["serve", "--no-worker"]),
            **{name: Member(name, ["worker"]) for name in names},
        }
        # What went wrong when everything was stopped.
        self.problems: list[str] = []
        # Children of killed processes; nobody else would end them.
        self._orphans: list[psutil.Process] = []

    @property
    def victims(self) -> list[str]:
        return [*self.members, POSTGRES]

    @property
    def workers(self) -> list[str]:
        return [name for name in self.members if name != API]

    def start(self, name: str) -> None:
        """Start it. The API is ready when this returns; a worker may still be starting."""
        member = self.members[name]
        log = self.folder / f"{name}.{len(member.logs)}.log"
        member.logs.append(log)
        member.process = service.start(
            [service.program(), *member.arguments],
            service.environment(self._settings, self.data),
            self.folder,
            log,
        )
        if name == API:
            service.await_ready(member.process, self.port, log)

    def kill(self, victim: str) -> int:
        """Send SIGKILL to a process started here and return its pid."""
        if victim == POSTGRES:
            server = self._postgres()
            server.kill()
            return int(server.pid)
        process = self._running(victim)
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(process.pid).children(recursive=True)
            self._orphans += [child for child in children if child.name() != "postgres"]
        process.kill()
        process.wait(KILL_TIMEOUT_S)
        return process.pid

    def restart(self, victim: str, pid: int) -> None:
        """Start it again; for PostgreSQL, wait until its users have restarted it."""
        if victim != POSTGRES:
            self.start(victim)
            return
        self._wait_until(
            lambda: self._is_another(pid) and self.is_ready(), "PostgreSQL wasn't restarted"
        )

    def wait_for_worker(self, name: str) -> None:
        """Wait until it logs that it is ready, or exits."""
        log, process = self.members[name].logs[-1], self._running(name)
        self._wait_until(
            lambda: READY_TEXT in log.read_text(errors="replace") or process.poll() is not None,
            f"{name} wasn't ready",
        )

    def _wait_until(self, condition: Callable[[], bool], failure: str) -> None:
        deadline = time.monotonic() + RESTART_TIMEOUT_S
        while not condition():
            if time.monotonic() > deadline:
                raise NotRestarted(f"{failure} within {RESTART_TIMEOUT_S:g} s")
            time.sleep(0.05)

    def exited(self) -> Iterator[tuple[str, str]]:
        """Processes that exited without being killed here, each with the end of its log."""
        for name, member in self.members.items():
            if member.process is not None and member.process.poll() is not None:
                status = f"exited with status {member.process.returncode}"
                yield name, f"{name} {status}: {self._last_lines(member)}"

    def is_ready(self) -> bool:
        with contextlib.closing(client.Client(self.port)) as http:
            try:
                http.fetch("/readyz")
            except (OSError, client.Refused):
                return False
        return True

    def stop(self) -> list[str]:
        """Stop all of them; return what went wrong."""
        problems = []
        running = {
            name: member.process
            for name, member in self.members.items()
            if member.process is not None
        }
        for process in running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for name, process in running.items():
            # A second signal would cut short a clean exit in progress.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(service.STOP_S)
            service.stop(process)
            if process.returncode != 0:
                problems.append(f"{name} exited with {process.returncode} when stopped")
        if postmaster.process(self._cluster()) is not None:
            problems.append("the last process to stop left PostgreSQL running")
            with postgres.EmbeddedPostgres(self.data):
                pass
        leftover = [*self._orphans, *postmaster.processes(self._cluster())]
        problems += [f"{child} was left running" for child in leftover if child.is_running()]
        for child in leftover:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        return problems

    def _running(self, name: str) -> subprocess.Popen[bytes]:
        process = self.members[name].process
        if process is None:
            raise NotRestarted(f"{name} wasn't started")
        return process

    def _cluster(self) -> Path:
        return layout.Layout.under(self.data).cluster

    def _postgres(self) -> psutil.Process:
        server = postmaster.process(self._cluster())
        if server is None:
            raise NotRestarted(f"no PostgreSQL is running on {self._cluster()}")
        return server

    def _is_another(self, pid: int) -> bool:
        server = postmaster.process(self._cluster())
        return server is not None and server.pid != pid

    def _last_lines(self, member: Member) -> str:
        return " | ".join(member.logs[-1].read_text(errors="replace").splitlines()[-5:])


@contextlib.contextmanager
def running(folder: Path, settings: Mapping[str, str], *, workers: int = 2) -> Iterator[Deployment]:
    """A deployment with everything started, always stopped on exit; then see `problems`."""
    deployment = Deployment(folder, settings, workers=workers)
    try:
        for name in deployment.members:
            deployment.start(name)
        yield deployment
    finally:
        deployment.problems += deployment.stop()
