"""Rows of values: a table on a terminal, tab-separated lines in a pipe."""

from collections.abc import Iterable, Sequence

import click
from rich import box, console, table, text


def show(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, wide: str | None = None
) -> None:
    """Print rows; the column `wide` takes the room that is left in a terminal."""
    screen = console.Console(highlight=False)
    if not screen.is_terminal:
        for row in rows:
            click.echo("\t".join(" ".join(str(cell).split()) for cell in row))
        return
    grid = table.Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        ratio = 1 if column == wide else None
        grid.add_column(column, ratio=ratio, overflow="fold" if column == wide else "ellipsis")
    for row in rows:
        # Text, not str: square brackets in a document are not markup.
        grid.add_row(*(text.Text(str(cell)) for cell in row))
    screen.print(grid)


def aligned(rows: Iterable[tuple[str, object]]) -> list[str]:
    """Labels and their values as lines, all values in one column."""
    rows = list(rows)
    width = max((len(label) for label, _ in rows), default=0) + 1
    return [f"{label + ':':<{width}} {value}" for label, value in rows]
