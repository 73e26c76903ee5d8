"""The processes that are shot at: an API, its workers, and the PostgreSQL that they share."""

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
AWAY_S = 120.0
DEAD_S = 30.0
# What a worker says once it takes part.
WORKS = "is ready."


class NotBack(RuntimeError):
    """What was killed did not come back."""


@dataclass
class Member:
    """A process of ours: each time that it runs it has a log of its own."""

    name: str
    words: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    logs: list[Path] = field(default_factory=list)


class Fleet:
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
        # What did not go as it should when all were stopped.
        self.wrong: list[str] = []
        # Children of killed processes: nobody else would end them.
        self._bereaved: list[psutil.Process] = []

    @property
    def victims(self) -> list[str]:
        return [*self.members, POSTGRES]

    @property
    def workers(self) -> list[str]:
        return [name for name in self.members if name != API]

    def start(self, name: str) -> None:
        """The API is ready when this returns; a worker has begun."""
        member = self.members[name]
        log = self.folder / f"{name}.{len(member.logs)}.log"
        member.logs.append(log)
        member.process = service.start(
            [service.program(), *member.words],
            service.environment(self._settings, self.data),
            self.folder,
            log,
        )
        if name == API:
            service.await_ready(member.process, self.port, log)

    def kill(self, victim: str) -> int:
        """SIGKILL to one that was started here, by its pid, which is given."""
        if victim == POSTGRES:
            server = self._postgres()
            server.kill()
            return int(server.pid)
        process = self._running(victim)
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(process.pid).children(recursive=True)
            self._bereaved += [one for one in children if one.name() != "postgres"]
        process.kill()
        process.wait(DEAD_S)
        return process.pid

    def revive(self, victim: str, pid: int) -> None:
        """Start it again; PostgreSQL is started by those who use it, which is waited for."""
        if victim != POSTGRES:
            self.start(victim)
            return
        self._until(
            lambda: self._is_another(pid) and self.is_ready(), "PostgreSQL was not started again"
        )

    def await_worker(self, name: str) -> None:
        """Until it says that it is ready, or has ended."""
        log, process = self.members[name].logs[-1], self._running(name)
        self._until(
            lambda: WORKS in log.read_text(errors="replace") or process.poll() is not None,
            f"{name} does not work",
        )

    def _until(self, condition: Callable[[], bool], said: str) -> None:
        deadline = time.monotonic() + AWAY_S
        while not condition():
            if time.monotonic() > deadline:
                raise NotBack(f"{said} within {AWAY_S:g} s")
            time.sleep(0.05)

    def dead(self) -> Iterator[tuple[str, str]]:
        """Those that ended without having been killed here, and their last words."""
        for name, member in self.members.items():
            if member.process is not None and member.process.poll() is not None:
                yield name, f"{name} ended with {member.process.returncode}: {self._words(member)}"

    def is_ready(self) -> bool:
        with contextlib.closing(client.Client(self.port)) as http:
            try:
                http.fetch("/readyz")
            except (OSError, client.Refused):
                return False
        return True

    def stop(self) -> list[str]:
        """End all of them; what did not go as it should is told."""
        wrong = []
        running = {
            name: one.process for name, one in self.members.items() if one.process is not None
        }
        for process in running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for name, process in running.items():
            # A second signal would end one that is about to end by itself.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(service.STOP_S)
            service.stop(process)
            if process.returncode != 0:
                wrong.append(f"{name} ended with {process.returncode} when it was stopped")
        if postmaster.process(self._cluster()) is not None:
            wrong.append("PostgreSQL was left running by the last who stopped")
            with postgres.EmbeddedPostgres(self.data):
                pass
        left = [*self._bereaved, *postmaster.processes(self._cluster())]
        wrong += [f"{one} was left" for one in left if one.is_running()]
        for one in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        return wrong

    def _running(self, name: str) -> subprocess.Popen[bytes]:
        process = self.members[name].process
        if process is None:
            raise NotBack(f"{name} was not started")
        return process

    def _cluster(self) -> Path:
        return layout.Layout.under(self.data).cluster

    def _postgres(self) -> psutil.Process:
        found = postmaster.process(self._cluster())
        if found is None:
            raise NotBack(f"no PostgreSQL runs on {self._cluster()}")
        return found

    def _is_another(self, pid: int) -> bool:
        found = postmaster.process(self._cluster())
        return found is not None and found.pid != pid

    def _words(self, member: Member) -> str:
        return " | ".join(member.logs[-1].read_text(errors="replace").splitlines()[-5:])


@contextlib.contextmanager
def running(folder: Path, settings: Mapping[str, str], *, workers: int = 2) -> Iterator[Fleet]:
    """All of them started, and gone afterwards whatever happened; see `wrong` then."""
    fleet = Fleet(folder, settings, workers=workers)
    try:
        for name in fleet.members:
            fleet.start(name)
        yield fleet
    finally:
        fleet.wrong += fleet.stop()
