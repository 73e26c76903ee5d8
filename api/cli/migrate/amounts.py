"""Bytes and estimated times for people."""

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
