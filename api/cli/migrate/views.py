"""A migration while it runs: a live view on a terminal, else a line now and then."""

import time
from types import TracebackType
from typing import Any, Protocol, Self

from api.cli import output, progress
from api.cli.migrate import described


class View(Protocol):
    """Shows a migration on standard error, whenever it is given."""

    def show(self, found: dict[str, Any]) -> None: ...

    def silence(self, reason: str) -> None:
        """The service doesn't answer; called each time that it doesn't."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def choose() -> View:
    """The live view where standard error is a terminal."""
    from rich import console

    screen = console.Console(stderr=True)
    if not screen.is_terminal:
        return Lines()
    from api.cli.migrate import live

    return live.Live(screen)


class Lines:
    """A line at each change of state, and every few seconds."""

    def __init__(self) -> None:
        self.steps: int | None = None
        self.said = 0.0
        self.silent = False

    def show(self, found: dict[str, Any]) -> None:
        if self.silent:
            output.line("The service answers again.", err=True)
            self.silent = False
        history = found["history"]
        # States that came and went between two looks are told, too.
        passed = history[-1 if self.steps is None else self.steps :]
        for step in passed[:-1]:
            self._say(f"{found['collection']} {step['state']}", step["why"])
        self.steps = len(history)
        if passed or time.monotonic() - self.said >= progress.LINE_EVERY_S:
            self._say(described.line(found), passed[-1]["why"] if passed else None)

    def silence(self, reason: str) -> None:
        if not self.silent:
            self._say("The service doesn't answer; asking again", reason)
        self.silent = True

    def _say(self, text: str, why: str | None) -> None:
        self.said = time.monotonic()
        output.line(f"{text} ({described.short(why)})" if why else text, err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
