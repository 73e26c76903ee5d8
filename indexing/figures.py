"""Percentiles, and sizes as text: the same everywhere."""

import math
from collections.abc import Sequence


def nearest_rank(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that at least `percent` of them do not exceed.

    Always one of the values, never interpolated; `values` holds at least one.
    """
    rank = math.ceil(percent * len(values) / 100)
    return sorted(values)[max(1, rank) - 1]


def format_bytes(count: int) -> str:
    """`850 kB`, `1.2 GB`: decimal units, as disks are sold."""
    for unit, length in (("GB", 1e9), ("MB", 1e6)):
        if count >= length:
            amount = count / length
            return f"{amount:,.{1 if amount < 10 else 0}f}".removesuffix(".0") + f" {unit}"
    return f"{count / 1e3:,.0f} kB"
