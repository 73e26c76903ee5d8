"""Checks that the migration makes progress whichever process is killed."""

import math
from collections.abc import Iterator, Sequence

from benchmarks.fire.faults import Fault
from benchmarks.fire.history import History, Observation

ORDER = ("planned", "backfilling", "building", "verifying", "ready", "cutting", "soaking", "done")
FAILED = {"failed", "blocked", "cancelled", "rolled_back", "paused"}
OVER = {*FAILED, "soaking", "done"}
# A killed worker's lease has to expire first, and its step starts over.
PATIENCE_S = 60.0

# State, chunks, documents: none of them ever decreases.
Reached = tuple[int, int, int]


def check(history: History) -> Iterator[Fault]:
    yield from (Fault("stalled", description) for description in history.stalls)
    for observation in history.observations:
        if observation.state in FAILED:
            yield Fault(
                "stalled",
                f"{observation.state} at {observation.answered:.2f}: {observation.note}",
            )
            break
    if history.observations and history.observations[-1].state not in {"soaking", "done"}:
        latest = history.observations[-1]
        yield Fault("stalled", f"the run ended in state {latest.state}: {latest.note}")


def reached(observations: Sequence[Observation]) -> Reached:
    """The furthest progress observed."""
    return max(map(_reached, observations), default=(-1, -1, -1))


def is_over(observations: Sequence[Observation]) -> bool:
    """Whether it was cut over, or can't go any further."""
    return bool(observations) and observations[-1].state in OVER


def longest_wait(observations: Sequence[Observation]) -> tuple[float, Observation]:
    """The longest time without progress before the cutover, and the observation at its end."""
    longest, latest = 0.0, Observation(invoked=math.inf, answered=math.inf, state="planned")
    best: Reached = (-1, -1, -1)
    since = math.inf
    for observation in observations:
        if observation.state in OVER:
            break
        since = min(since, observation.answered)
        if observation.answered - since > longest:
            longest, latest = observation.answered - since, observation
        if (progress := _reached(observation)) > best:
            best, since = progress, observation.answered
    return longest, latest


def _reached(observation: Observation) -> Reached:
    rank = ORDER.index(observation.state) if observation.state in ORDER else -1
    return rank, observation.chunks, observation.documents
