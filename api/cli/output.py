"""What commands print: tables for a terminal, tab-separated lines for a pipe."""

import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click


def line(text: str, *, err: bool = False) -> None:
    click.echo(text, err=err)


def as_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, wide: str | None = None
) -> None:
    """Print rows; `wide` names the column that takes the room left in a terminal."""
    from rich import box, console, text
    from rich import table as rich_table

    screen = console.Console(highlight=False)
    if not screen.is_terminal:
        for row in rows:
            click.echo("\t".join(" ".join(str(cell).split()) for cell in row))
        return
    drawn = rich_table.Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        ratio = 1 if column == wide else None
        drawn.add_column(column, ratio=ratio, overflow="fold" if column == wide else "ellipsis")
    for row in rows:
        # Text, not str: a document's own square brackets are not markup.
        drawn.add_row(*(text.Text(str(cell)) for cell in row))
    screen.print(drawn)


def command() -> str:
    """What to type here for this program: `vecmark` where the PATH leads to it, else its file."""
    own = Path(sys.executable).with_name("vecmark")
    found = shutil.which("vecmark")
    if not own.exists() or (found is not None and own.samefile(found)):
        return "vecmark"
    here = Path.cwd()
    return shlex.quote(str(own.relative_to(here) if own.is_relative_to(here) else own))


def count(number: int, noun: str) -> str:
    """`1 document`, `2,000 documents`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def seconds(value: float) -> str:
    if value < 60:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


# Up to how many seconds which unit is used, and how long it is.
_UNITS = ((100, 1, "s"), (6_000, 60, "min"), (172_800, 3_600, "h"), (float("inf"), 86_400, "d"))


def size(count: int) -> str:
    """`850 kB`, `1.2 GB`."""
    for unit, length in (("GB", 1e9), ("MB", 1e6)):
        if count >= length:
            return f"{_number(count / length)} {unit}"
    return f"{count / 1e3:,.0f} kB"


def span(low: float, likely: float, high: float) -> str:
    """`about 12 min (9 to 16)`."""
    if high < 1:
        return "less than a second"
    length, unit = next((length, unit) for limit, length, unit in _UNITS if likely < limit)
    digits = 1 if unit != "s" and likely < 10 * length else 0
    first, middle, last = (_number(part / length, digits) for part in (low, likely, high))
    return f"about {middle} {unit}" + (f" ({first} to {last})" if first != last else "")


def rate(value: float) -> str:
    """`7.5/s`, `1,200/s`."""
    return f"{_number(value)}/s"


def share(done: float, total: float) -> str:
    """`42 %`, never 100 before all is done."""
    return f"{int(100 * done / total) if total else 100} %"


def _number(value: float, digits: int | None = None) -> str:
    shown = f"{value:,.{(1 if value < 10 else 0) if digits is None else digits}f}"
    return shown.removesuffix(".0")
