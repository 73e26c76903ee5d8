"""Measures of quality and time, and how figures are formatted."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from indexing import figures
from migrations.reembed.verifying import comparison as quality

Vectors = NDArray[np.float32]
T = TypeVar("T")


# The same definitions as in a migration's report.
ndcg = quality.ndcg
percentile = figures.nearest_rank


def cosines(vectors: Vectors, expected: Vectors) -> NDArray[np.float64]:
    """Cosine of each row with the row at the same position, (rows,), in float64."""
    a, b = vectors.astype(np.float64), expected.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    result: NDArray[np.float64] = (a * b).sum(axis=1) / lengths
    return result


def format_range(values: Sequence[float]) -> str:
    """The range of the values, such as `51.20 to 55.00`."""
    return f"{format_number(min(values))} to {format_number(max(values))}"


def format_runs(values: Sequence[float]) -> str:
    count = "one run" if len(values) == 1 else f"{len(values)} runs"
    return f"{count}, {format_range(values)}"


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def mean(values: Sequence[float]) -> float:
    return statistics.fmean(values)


def milliseconds(call: Callable[[T], object], argument: T) -> float:
    """How long one call takes, in milliseconds."""
    started = time.perf_counter()
    call(argument)
    return 1e3 * (time.perf_counter() - started)


def format_number(value: float) -> str:
    """The value with four significant digits and no exponent."""
    if value == 0 or not math.isfinite(value):
        return str(value)
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"
