"""The live view of a migration on a terminal."""

from collections.abc import Iterator
from typing import Any, Self

from rich import console, live, progress_bar, table, text

from api.cli import output
from api.cli.migrate import described

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
    old, new = described.ends(found)
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
    grid.add_row(bar, text.Text(described.documents(found)))
    return grid


def _details(found: dict[str, Any]) -> Iterator[str]:
    chunks = output.count(found["progress"]["chunks_done"], "chunk")
    yield ", ".join([chunks, *described.speed(found), *described.troubles(found)])
    if parts := described.work(found):
        yield ", ".join(parts)
    if part := described.build(found):
        yield f"index: {part}"
    if part := described.lag(found):
        yield f"old index: {part}"
    if part := described.error(found):
        yield f"error: {part}"
    if found["waiting"]:
        yield f"waiting: {found['waiting']}"
    if found["next"]:
        yield f"next: {found['next']}"
