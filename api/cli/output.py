"""What commands print: lines, JSON, and numbers, sizes and times as people read them."""

import json
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click


def line(text: str, *, err: bool = False) -> None:
    click.echo(text, err=err)


def step(text: str) -> None:
    """A step of a slow start, for a person who waits at a terminal."""
    if sys.stderr.isatty():
        line(text, err=True)


def start_clock() -> Callable[[str], None]:
    """A function that prints a step of the start with the time since now."""
    started = time.monotonic()

    def announce(step: str) -> None:
        line(f"{time.monotonic() - started:6.1f} s  {step}", err=True)

    return announce


def as_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def raw_json(*contents: bytes, is_list: bool = False) -> None:
    """Answers of the service, as it sent them; `is_list`: as one list."""
    values = [json.loads(content) for content in contents]
    as_json(values if is_list else values[0])


def command() -> str:
    """What to type here for this program: `vecmark` if it is on the PATH, else its file."""
    own = Path(sys.executable).with_name("vecmark")
    on_path = shutil.which("vecmark")
    if not own.exists() or (on_path is not None and own.samefile(on_path)):
        return "vecmark"
    here = Path.cwd()
    return shlex.quote(str(own.relative_to(here) if own.is_relative_to(here) else own))


def count(number: int, noun: str) -> str:
    """`1 document`, `2,000 documents`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def seconds(value: float) -> str:
    """`42 s`, `5 min 03 s`, `2 h 01 min`."""
    if value < 60:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


# Up to how many seconds each unit is used, and its length.
_UNITS = ((100, 1, "s"), (6_000, 60, "min"), (172_800, 3_600, "h"), (float("inf"), 86_400, "d"))


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


def percent(value: float) -> str:
    """`99.7 %` for 0.997."""
    return f"{100 * value:.1f} %"


def timestamp(moment: datetime) -> str:
    """`2026-11-27 08:05:00`, in this machine's time zone."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _number(value: float, digits: int | None = None) -> str:
    text = f"{value:,.{(1 if value < 10 else 0) if digits is None else digits}f}"
    return text.removesuffix(".0")
