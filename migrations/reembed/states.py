"""The states of a re-embed migration, and which can follow which. No I/O."""

from migrations.reembed import errors
from storage.migration_states import State

# Workers continue from these by themselves; with a manual cutover, `ready` waits for a person.
WORKER_STATES: tuple[State, ...] = (
    "planned",
    "backfilling",
    "building",
    "verifying",
    "ready",
    "cutting",
    "soaking",
)
# Stored with a `resume_state`, in which the migration continues.
STOPPED: frozenset[State] = frozenset({"paused", "blocked", "failed"})
BEFORE_CUTOVER: frozenset[State] = frozenset(
    {"planned", "backfilling", "building", "verifying", "ready", "cutting"}
)

_FORWARD: dict[State, frozenset[State]] = {
    "planned": frozenset({"backfilling"}),
    "backfilling": frozenset({"building"}),
    # Back to `backfilling`: the coverage query finds what the index lacks.
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
    """The states that can follow `state`; `resume_state` is given for a stopped migration."""
    following = set(_FORWARD[state])
    if state in WORKER_STATES:
        following |= {"paused", "failed"}
    if state in STOPPED and resume_state is not None:
        following.add(resume_state)
        # Only after the cutover is there a retained source to roll back to, or to retire.
        if resume_state == "soaking":
            following |= {"done", "rolled_back"}
    if can_cancel(state, resume_state):
        following.add("cancelled")
    return frozenset(following)


def can_cancel(state: State, resume_state: State | None = None) -> bool:
    """Only before the cutover; after it, roll back or retire."""
    return state in BEFORE_CUTOVER or (state in STOPPED and resume_state in BEFORE_CUTOVER)


def check(state: State, to: State, resume_state: State | None = None) -> None:
    """Raises TransitionRefused, which names the states that can follow."""
    following = allowed_next(state, resume_state)
    if to not in following:
        options = ", ".join(sorted(following)) or "none: it is over"
        raise errors.TransitionRefused(
            f"a migration that is {state} can't become {to}; possible next states: {options}"
        )
