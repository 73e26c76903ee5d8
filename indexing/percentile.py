"""The percentile of measured times, as the reports of migrations and the query log give it."""

import math
from collections.abc import Sequence


def nearest_rank(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that at least `percent` of them do not exceed.

    Always one of the values, never interpolated; `values` holds at least one.
    """
    rank = math.ceil(percent * len(values) / 100)
    return sorted(values)[max(1, rank) - 1]
