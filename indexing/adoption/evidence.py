"""What was seen when a table was adopted, and what can be said of the rows that were not."""

import math

_CONFIDENCE = 0.95
_STEPS = 60


def upper_bound(failed: int, compared: int) -> float:
    """The greatest share that `failed` of `compared` random rows allow, at 95 % (Clopper-Pearson).

    Without a failure about 3 / `compared`.
    """
    if failed >= compared:
        return 1.0
    low, high = failed / compared, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (
            (middle, high)
            if _at_most(failed, compared, middle) > 1 - _CONFIDENCE
            else (low, middle)
        )
    return high


def _at_most(count: int, of: int, share: float) -> float:
    """How likely at most `count` of `of` rows are, where each is one with probability `share`."""
    if share >= 1:
        return 0.0
    whole = math.lgamma(of + 1)
    return sum(
        math.exp(
            whole
            - math.lgamma(no + 1)
            - math.lgamma(of - no + 1)
            + no * math.log(share)
            + (of - no) * math.log1p(-share)
        )
        for no in range(count + 1)
    )
