"""How far a long command has come: a bar on a terminal, else a line every few seconds."""

import time
from types import TracebackType
from typing import Protocol, Self

from rich import console, progress

from api.cli import output

LINE_EVERY_S = 5.0


class Progress(Protocol):
    """Counts documents that were acknowledged, not those that were sent."""

    def advance(self, count: int = 1) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def show(title: str, total: int | None, *, quiet: bool = False) -> Progress:
    """A progress display on standard error; `total` is None if it isn't known."""
    if quiet:
        return NoProgress()
    screen = console.Console(stderr=True)
    if not screen.is_terminal:
        return LineProgress(title, total)
    return Bar(screen, title, total)


class NoProgress:
    def advance(self, count: int = 1) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class LineProgress(NoProgress):
    """A line every few seconds: count, rate, time left."""

    def __init__(self, title: str, total: int | None) -> None:
        self.title, self.total, self.done = title, total, 0
        self.started = self.printed = time.monotonic()

    def advance(self, count: int = 1) -> None:
        self.done += count
        now = time.monotonic()
        if now - self.printed >= LINE_EVERY_S:
            self.printed = now
            output.line(self._line(now - self.started), err=True)

    def _line(self, elapsed: float) -> str:
        rate = self.done / elapsed
        of = f" of {self.total:,}" if self.total is not None else ""
        line = f"{self.title}: {self.done:,}{of} documents, {output.rate(rate)}"
        if self.total is not None and rate:
            line += f", {output.seconds((self.total - self.done) / rate)} left"
        return line


class Bar:
    """A progress bar on a terminal: count, rate, time left."""

    def __init__(self, screen: console.Console, title: str, total: int | None) -> None:
        columns = [
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[rate]}"),
            progress.TimeRemainingColumn(compact=True),
        ]
        self.bar = progress.Progress(*columns, console=screen)
        self.task = self.bar.add_task(title, total=total, rate="")
        self.done, self.started = 0, time.monotonic()

    def advance(self, count: int = 1) -> None:
        self.done += count
        elapsed = time.monotonic() - self.started
        rate = output.rate(self.done / elapsed) if elapsed > 0.5 else ""
        self.bar.update(self.task, completed=self.done, rate=rate)

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
