"""A migration on standard error while it runs: a live view on a terminal, else lines."""

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self

from rich import console, live, progress_bar, table, text

from api.cli import output, progress
from api.cli.migrate import text as migration_text
from api.schemas.migrations import Migration

REFRESHES_PER_S = 4
STYLES = {"blocked": "bold red", "failed": "bold red", "paused": "bold yellow"}


class Live:
    """Redrawn in place with each update; leaves nothing behind."""

    def __init__(self, screen: console.Console) -> None:
        self.live = live.Live(console=screen, refresh_per_second=REFRESHES_PER_S, transient=True)
        self.migration: Migration | None = None

    def show(self, migration: Migration) -> None:
        self.migration = migration
        self.live.update(frame(migration))

    def show_silence(self, reason: str) -> None:
        if self.migration is not None:
            self.live.update(frame(self.migration, silence=reason))

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()


def frame(migration: Migration, *, silence: str | None = None) -> console.Group:
    """A migration as it is now, or as it was last known if the service is silent."""
    parts: list[console.RenderableType] = [_head(migration), _bar(migration)]
    parts += [text.Text(line) for line in _details(migration)]
    if silence is not None:
        line = f"the service doesn't answer ({silence}); retrying"
        parts.append(text.Text(line, style="yellow"))
    return console.Group(*parts)


def _head(migration: Migration) -> text.Text:
    old, new = migration_text.endpoints(migration)
    line = text.Text(f"{migration.collection}: {old} → {new}  ")
    return line.append(migration.state, style=STYLES.get(migration.state, "bold green"))


def _bar(migration: Migration) -> table.Table:
    progress = migration.progress
    grid = table.Table.grid(padding=(0, 2), expand=True)
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True)
    # An empty collection is done, and a bar without a total would be drawn as unknown.
    total = max(progress.documents, 1)
    done = progress.documents_done if progress.documents else 1
    bar = progress_bar.ProgressBar(total=total, completed=done)
    grid.add_row(bar, text.Text(migration_text.documents(migration)))
    return grid


def _details(migration: Migration) -> Iterator[str]:
    chunks = output.count(migration.progress.chunks_done, "chunk")
    speed = migration_text.speed(migration)
    yield ", ".join([chunks, *speed, *migration_text.shortfalls(migration)])
    if work := migration_text.work(migration):
        yield ", ".join(work)
    for label, value in (
        ("index", migration_text.build_progress(migration)),
        ("old index", migration_text.old_index_lag(migration)),
        ("error", migration_text.error(migration)),
        ("waiting", migration.waiting),
        ("next", migration.next),
    ):
        if value:
            yield f"{label}: {value}"


class View(Protocol):
    """Shows a migration on standard error with each update."""

    def show(self, migration: Migration) -> None: ...

    def show_silence(self, reason: str) -> None:
        """The service doesn't answer; called after each attempt."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def choose_view() -> View:
    """The live view if standard error is a terminal, else lines."""
    screen = console.Console(stderr=True)
    return Live(screen) if screen.is_terminal else LineView()


class LineView:
    """A line at each change of state, and every few seconds."""

    def __init__(self) -> None:
        self.changes: int | None = None
        self.printed = 0.0
        self.silent = False

    def show(self, migration: Migration) -> None:
        if self.silent:
            output.line("The service answers again.", err=True)
            self.silent = False
        history = migration.history
        # States that came and went between two updates are printed, too.
        recent = history[-1 if self.changes is None else self.changes :]
        for change in recent[:-1]:
            self._print(f"{migration.collection} {change.state}", change.why)
        self.changes = len(history)
        if recent or time.monotonic() - self.printed >= progress.LINE_EVERY_S:
            self._print(migration_text.summary(migration), recent[-1].why if recent else None)

    def show_silence(self, reason: str) -> None:
        if not self.silent:
            self._print("The service doesn't answer; retrying", reason)
        self.silent = True

    def _print(self, line: str, why: str | None) -> None:
        self.printed = time.monotonic()
        output.line(f"{line} ({migration_text.shorten(why)})" if why else line, err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
