"""The live view of a migration on a terminal."""

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Protocol, Self

from rich import console, live, progress_bar, table, text

from api.cli import output, progress
from api.cli.migrate import text as migration_text

REFRESHES_PER_S = 4
STYLES = {"blocked": "bold red", "failed": "bold red", "paused": "bold yellow"}


class Live:
    """Takes its place on the screen anew with each look, and leaves nothing behind."""

    def __init__(self, screen: console.Console) -> None:
        self.live = live.Live(console=screen, refresh_per_second=REFRESHES_PER_S, transient=True)
        self.found: dict[str, Any] | None = None

    def show(self, found: dict[str, Any]) -> None:
        self.found = found
        self.live.update(frame(found))

    def silence(self, reason: str) -> None:
        if self.found is not None:
            self.live.update(frame(self.found, silence=reason))

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()


def frame(found: dict[str, Any], *, silence: str | None = None) -> console.Group:
    """A migration as it is now, under its last known state where the service is silent."""
    parts: list[console.RenderableType] = [_head(found), _bar(found)]
    parts += [text.Text(line) for line in _details(found)]
    if silence is not None:
        said = f"the service doesn't answer ({silence}); asking again"
        parts.append(text.Text(said, style="yellow"))
    return console.Group(*parts)


def _head(found: dict[str, Any]) -> text.Text:
    old, new = migration_text.ends(found)
    shown = text.Text(f"{found['collection']}: {old} → {new}  ")
    return shown.append(found["state"], style=STYLES.get(found["state"], "bold green"))


def _bar(found: dict[str, Any]) -> table.Table:
    progress = found["progress"]
    grid = table.Table.grid(padding=(0, 2), expand=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True)
    # An empty collection is done, and a bar without a total would be drawn as unknown.
    total = max(progress["documents"], 1)
    done = progress["documents_done"] if progress["documents"] else 1
    bar = progress_bar.ProgressBar(total=total, completed=done)
    grid.add_row(bar, text.Text(migration_text.documents(found)))
    return grid


def _details(found: dict[str, Any]) -> Iterator[str]:
    chunks = output.count(found["progress"]["chunks_done"], "chunk")
    yield ", ".join([chunks, *migration_text.speed(found), *migration_text.troubles(found)])
    if parts := migration_text.work(found):
        yield ", ".join(parts)
    if part := migration_text.build(found):
        yield f"index: {part}"
    if part := migration_text.lag(found):
        yield f"old index: {part}"
    if part := migration_text.error(found):
        yield f"error: {part}"
    if found["waiting"]:
        yield f"waiting: {found['waiting']}"
    if found["next"]:
        yield f"next: {found['next']}"


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
        return LineView()

    return Live(screen)


class LineView:
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
            self._say(migration_text.line(found), passed[-1]["why"] if passed else None)

    def silence(self, reason: str) -> None:
        if not self.silent:
            self._say("The service doesn't answer; asking again", reason)
        self.silent = True

    def _say(self, text: str, why: str | None) -> None:
        self.said = time.monotonic()
        output.line(f"{text} ({migration_text.short(why)})" if why else text, err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
