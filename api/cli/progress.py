"""How far a long command has come: a bar on a terminal, a line every few seconds elsewhere."""

import time
from types import TracebackType
from typing import Protocol, Self

from api.cli import output

LINE_EVERY_S = 5.0


class Progress(Protocol):
    """Counts documents that were acknowledged, not those sent."""

    def advance(self, count: int = 1) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def show(title: str, total: int | None, *, quiet: bool = False) -> Progress:
    """A progress display on standard error; `total` None where it isn't known."""
    if quiet:
        return Silence()
    from rich import console

    screen = console.Console(stderr=True)
    if not screen.is_terminal:
        return Lines(title, total)
    from api.cli import bar

    return bar.Bar(screen, title, total)


class Silence:
    def advance(self, count: int = 1) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Lines(Silence):
    def __init__(self, title: str, total: int | None) -> None:
        self.title, self.total, self.done = title, total, 0
        self.started = self.said = time.monotonic()

    def advance(self, count: int = 1) -> None:
        self.done += count
        now = time.monotonic()
        if now - self.said >= LINE_EVERY_S:
            self.said = now
            output.line(self._line(now - self.started), err=True)

    def _line(self, elapsed: float) -> str:
        rate = self.done / elapsed
        of = f" of {self.total:,}" if self.total is not None else ""
        line = f"{self.title}: {self.done:,}{of} documents, {rate:,.0f}/s"
        if self.total is not None and rate:
            line += f", {output.seconds((self.total - self.done) / rate)} left"
        return line
