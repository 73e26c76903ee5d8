"""What a document may be at a time, by what its clients were told."""

import math
from collections.abc import Callable, Sequence

from benchmarks.fire.history import Write

ABSENT = None
Values = set[str | int | None]


def texts(writes: Sequence[Write], begun: float = math.inf, ended: float = math.inf) -> Values:
    """The texts that a read between these times may have found; ABSENT where it may be none."""
    return _values(_but_patches(writes), begun, ended, lambda one: one.text)


def numbers(writes: Sequence[Write], begun: float = math.inf, ended: float = math.inf) -> Values:
    """The same of the numbers in its metadata."""
    return _values(writes, begun, ended, lambda one: one.no)


def _but_patches(writes: Sequence[Write]) -> list[Write]:
    return [one for one in writes if one.kind != "patch"]


def _values(
    writes: Sequence[Write],
    begun: float,
    ended: float,
    value: Callable[[Write], str | int | None],
) -> Values:
    """A write counts unless an acknowledged one was sent after its answer, before the read began.

    One of unknown outcome is never superseded: it may take effect later.
    """
    done = [one for one in writes if one.outcome != "failed"]
    newest = max(
        (one.invoked for one in done if one.outcome == "ok" and one.answered <= begun),
        default=-math.inf,
    )
    found = {
        ABSENT if one.kind == "delete" else value(one)
        for one in done
        if one.invoked < ended and (one.outcome == "unknown" or one.answered > newest)
    }
    return found | ({ABSENT} if newest == -math.inf else set())
