"""Which values a document may have at a given time, according to the answers to its writes."""

import math
from collections.abc import Callable, Sequence

from benchmarks.fire.history import Write

ABSENT = None
Values = set[str | int | None]


def texts(writes: Sequence[Write], started: float = math.inf, ended: float = math.inf) -> Values:
    """The texts a read between these times may return; ABSENT if the document may be missing."""
    return _values(_without_patches(writes), started, ended, lambda write: write.text)


def numbers(writes: Sequence[Write], started: float = math.inf, ended: float = math.inf) -> Values:
    """The same for the number in its metadata."""
    return _values(writes, started, ended, lambda write: write.no)


def _without_patches(writes: Sequence[Write]) -> list[Write]:
    return [write for write in writes if write.kind != "patch"]


def _values(
    writes: Sequence[Write],
    started: float,
    ended: float,
    value: Callable[[Write], str | int | None],
) -> Values:
    """Writes count unless a newer one, sent after their answer, was acknowledged before the read.

    A write of unknown outcome is never superseded: it may take effect later.
    """
    effective = [write for write in writes if write.outcome != "failed"]
    newest = max(
        (
            write.invoked
            for write in effective
            if write.outcome == "ok" and write.answered <= started
        ),
        default=-math.inf,
    )
    values = {
        ABSENT if write.kind == "delete" else value(write)
        for write in effective
        if write.invoked < ended and (write.outcome == "unknown" or write.answered > newest)
    }
    return values | ({ABSENT} if newest == -math.inf else set())
