"""The states of a re-embed migration, and which may follow which: pure."""

from typing import Literal

from migrations.reembed import errors

State = Literal[
    "planned",
    "backfilling",
    "building",
    "verifying",
    "ready",
    "cutting",
    "soaking",
    "done",
    "paused",
    "blocked",
    "failed",
    "cancelled",
    "rolled_back",
]

ENDED: frozenset[State] = frozenset({"done", "cancelled", "rolled_back"})
# A worker moves these on by itself; `ready` waits for a person where the cut-over is manual.
WORKER_STATES: tuple[State, ...] = (
    "planned",
    "backfilling",
    "building",
    "verifying",
    "ready",
    "cutting",
    "soaking",
)
# They keep the state in which they go on.
STOPPED: frozenset[State] = frozenset({"paused", "blocked", "failed"})
BEFORE_CUTOVER: frozenset[State] = frozenset(
    {"planned", "backfilling", "building", "verifying", "ready", "cutting"}
)

_FORWARD: dict[State, frozenset[State]] = {
    "planned": frozenset({"backfilling"}),
    "backfilling": frozenset({"building"}),
    # Back: what an index lacks is found again by the coverage query.
    "building": frozenset({"verifying", "backfilling"}),
    "verifying": frozenset({"ready", "blocked", "backfilling"}),
    "ready": frozenset({"cutting"}),
    "cutting": frozenset({"soaking", "blocked"}),
    "soaking": frozenset({"done", "rolled_back"}),
    "blocked": frozenset({"cutting"}),
    "paused": frozenset(),
    "failed": frozenset(),
    "done": frozenset(),
    "cancelled": frozenset(),
    "rolled_back": frozenset(),
}


def allowed_next(state: State, resume_state: State | None = None) -> frozenset[State]:
    """The states that may follow `state`, for one that is stopped with its `resume_state`."""
    following = set(_FORWARD[state])
    if state in WORKER_STATES:
        following |= {"paused", "failed"}
    if state in STOPPED and resume_state is not None:
        following.add(resume_state)
        # Retained tables are a rollback's; they are no state before the cut-over.
        if resume_state == "soaking":
            following |= {"done", "rolled_back"}
    if can_cancel(state, resume_state):
        following.add("cancelled")
    return frozenset(following)


def can_cancel(state: State, resume_state: State | None = None) -> bool:
    """Until its cut-over a migration can be dropped; after it there is rollback and retire."""
    return state in BEFORE_CUTOVER or (state in STOPPED and resume_state in BEFORE_CUTOVER)


def check(state: State, to: State, resume_state: State | None = None) -> None:
    """Raises TransitionRefused, which says what can be done instead."""
    following = allowed_next(state, resume_state)
    if to not in following:
        can = ", ".join(sorted(following)) or "nothing: it is over"
        raise errors.TransitionRefused(
            f"a migration that is {state} can't become {to}; what can follow is {can}"
        )
