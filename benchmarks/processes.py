"""Memory and CPU time of a service's processes, without PostgreSQL's."""

import contextlib
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

EVERY_S = 0.5
_MB = 1e6


class Watch:
    """Samples the memory of a process and its descendants while its context is open.

    For the process itself Linux also keeps the true peak; descendants count as sampled.
    """

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-watch", daemon=True)

    def __enter__(self) -> Self:
        _reset_kernel_peak(self._process.pid)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sample()
        self._ended.set()
        self._thread.join()

    def now_mb(self) -> float:
        return (self._process.memory_info().rss + self._others()) / _MB

    @property
    def peak_mb(self) -> float:
        return self._peak / _MB

    def _run(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._sample()

    def _sample(self) -> None:
        try:
            resident = self._process.memory_info().rss
            self._peak = max(self._peak, resident + self._others(), _kernel_peak(self._process.pid))
        except psutil.NoSuchProcess:
            self._ended.set()

    def _others(self) -> int:
        """Bytes of the descendants; a shared page counts once per process."""
        total = 0
        for child in self._process.children(recursive=True):
            try:
                if not is_postgres(child):
                    total += child.memory_info().rss
            except psutil.Error:
                continue
        return total


def cpu_seconds(pid: int) -> float:
    """CPU seconds used so far by a process and its descendants, without PostgreSQL."""
    process = psutil.Process(pid)
    total = 0.0
    for member in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            if not is_postgres(member):
                times = member.cpu_times()
                total += times.user + times.system
    return total


def is_postgres(process: psutil.Process) -> bool:
    """Whether it is PostgreSQL's server or one of its processes, which change their titles."""
    try:
        return Path(process.exe()).name == "postgres"
    except psutil.AccessDenied:
        return bool(process.name().startswith("postgres"))


def _kernel_peak(pid: int) -> int:
    """VmHWM in bytes, or 0 if the system doesn't keep it."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    peak = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(peak[0]) * 1024 if peak else 0


def _reset_kernel_peak(pid: int) -> None:
    """Reset VmHWM, so that the start of the service doesn't count."""
    # Without permission the start counts too, so the figure may be too large.
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")
