"""Whether the migration goes on whoever is killed."""

import math
from collections.abc import Iterator, Sequence

from benchmarks.fire.faults import Fault
from benchmarks.fire.history import History, Look

ORDER = ("planned", "backfilling", "building", "verifying", "ready", "cutting", "soaking", "done")
FAILED = {"failed", "blocked", "cancelled", "rolled_back", "paused"}
OVER = {*FAILED, "soaking", "done"}
# A killed worker's lease has to run out, and its step is begun anew.
PATIENCE_S = 60.0

# State, chunks, documents: what grows only.
Reached = tuple[int, int, int]


def judge(history: History) -> Iterator[Fault]:
    yield from (Fault("stalled", what) for what in history.stalls)
    for look in history.looks:
        if look.state in FAILED:
            yield Fault("stalled", f"it is {look.state} at {look.answered:.2f}: {look.note}")
            break
    if history.looks and history.looks[-1].state not in {"soaking", "done"}:
        last = history.looks[-1]
        yield Fault("stalled", f"it ended in state {last.state}: {last.note}")


def reached(looks: Sequence[Look]) -> Reached:
    """The furthest that was seen."""
    return max(map(_reached, looks), default=(-1, -1, -1))


def is_over(looks: Sequence[Look]) -> bool:
    """It was cut over, or goes no further."""
    return bool(looks) and looks[-1].state in OVER


def longest_wait(looks: Sequence[Look]) -> tuple[float, Look]:
    """The longest time, before it was cut over, in which nothing grew; and the look at its end."""
    longest, last = 0.0, Look(invoked=math.inf, answered=math.inf, state="planned")
    best: Reached = (-1, -1, -1)
    since = math.inf
    for look in looks:
        if look.state in OVER:
            break
        since = min(since, look.answered)
        if look.answered - since > longest:
            longest, last = look.answered - since, look
        if (measure := _reached(look)) > best:
            best, since = measure, look.answered
    return longest, last


def _reached(look: Look) -> Reached:
    rank = ORDER.index(look.state) if look.state in ORDER else -1
    return rank, look.chunks, look.documents
