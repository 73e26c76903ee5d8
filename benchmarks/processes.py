"""The memory of a service's processes, PostgreSQL's apart."""

import contextlib
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

EVERY_S = 0.5
_MB = 1e6


class Watch:
    """Looks at a process and its descendants while in its context.

    The process itself is taken at the peak that the kernel kept, on Linux; the others as seen.
    """

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-watch", daemon=True)

    def __enter__(self) -> Self:
        _forget_peak(self._process.pid)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._look()
        self._ended.set()
        self._thread.join()

    def now_mb(self) -> float:
        return (self._process.memory_info().rss + self._others()) / _MB

    @property
    def peak_mb(self) -> float:
        return self._peak / _MB

    def _run(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._look()

    def _look(self) -> None:
        try:
            resident = self._process.memory_info().rss
            self._peak = max(self._peak, resident + self._others(), _kept_peak(self._process.pid))
        except psutil.NoSuchProcess:
            self._ended.set()

    def _others(self) -> int:
        """Bytes of the descendants; shared pages count for each who has them."""
        total = 0
        for child in self._process.children(recursive=True):
            try:
                if not is_postgres(child):
                    total += child.memory_info().rss
            except psutil.Error:
                continue
        return total


def cpu_seconds(pid: int) -> float:
    """What a process and its descendants have used so far, PostgreSQL apart."""
    process = psutil.Process(pid)
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            if not is_postgres(one):
                times = one.cpu_times()
                total += times.user + times.system
    return total


def is_postgres(process: psutil.Process) -> bool:
    """The server and each of its processes: they run the same program under changing titles."""
    try:
        return Path(process.exe()).name == "postgres"
    except psutil.AccessDenied:
        return bool(process.name().startswith("postgres"))


def _kept_peak(pid: int) -> int:
    """VmHWM in bytes, or 0 where the system keeps none."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    kept = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(kept[0]) * 1024 if kept else 0


def _forget_peak(pid: int) -> None:
    """Start VmHWM anew, so that the start of the service does not count."""
    # Where that is not allowed the start counts too, and the figure is too large at worst.
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")
