"""The outcome of a migration: when a command stops waiting, its exit code, what it prints."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from api.cli import output
from api.cli.migrate import text
from api.schemas.migrations import Migration
from storage import migration_states

Until = Literal["cutover", "end"]

EXIT_CODES = {"blocked": 3, "failed": 4, "cancelled": 5, "rolled_back": 5}
# It continues only if somebody acts.
HALTED = frozenset({"blocked", "failed"})


def exit_code(migration: Migration) -> int:
    return EXIT_CODES.get(migration.state, 0)


def is_open(migration: Migration) -> bool:
    return migration.state not in migration_states.ENDED


def is_over(migration: Migration, until: Until = "cutover") -> bool:
    """Whether it has reached the state it is watched for, or waits for somebody."""
    state = migration.state
    if state in migration_states.ENDED | HALTED:
        return True
    if until == "end":
        return False
    return state == "soaking" or (state == "ready" and migration.options.manual)


@dataclass(frozen=True)
class CutoverOver:
    """Whether a cutover that was requested is done, or has been blocked since the request.

    `changes`: how many state changes the migration had before it.
    """

    changes: int

    def __call__(self, migration: Migration) -> bool:
        state = migration.state
        # A worker leaves the state of the request only a moment later.
        is_held_up = state in HALTED and len(migration.history) > self.changes
        return state == "soaking" or state in migration_states.ENDED or is_held_up


def is_rollback_over(migration: Migration) -> bool:
    return migration.state in migration_states.ENDED | HALTED


def rollback_exit_code(migration: Migration) -> int:
    return 0 if migration.state == "rolled_back" else exit_code(migration) or 1


def describe(migration: Migration) -> Iterator[str]:
    """What happened, why if it didn't succeed, and what to do."""
    yield f"{migration.collection}: {_describe_state(migration)}."
    if migration.state in {"soaking", "done"}:
        progress = migration.progress
        documents = output.count(progress.documents_done, "document")
        chunks = output.count(progress.chunks_done, "chunk")
        yield f"{documents}, {chunks}{_time_until_ready(migration)}."
    if migration.state in HALTED | {"ready"}:
        yield from (f"  {line}" for line in text.gate_lines(migration))
    yield from text.failed_lines(migration)
    if migration.next:
        yield migration.next


def _describe_state(migration: Migration) -> str:
    old, new = text.endpoints(migration)
    reason = text.error(migration).rstrip(".")
    suffix = f": {reason}" if reason else ""
    descriptions = {
        "soaking": f"cut over; searches now use {new}",
        "done": f"done; searches use {new}",
        "ready": f"ready to be cut over to {new}",
        "blocked": f"blocked; searches still use {old}{suffix}",
        "failed": f"failed; searches still use {old}{suffix}",
        "cancelled": f"cancelled; searches still use {old}",
        "rolled_back": f"rolled back; searches use {old} again",
        "paused": "paused",
    }
    return descriptions.get(migration.state, migration.state)


def _time_until_ready(migration: Migration) -> str:
    """How long it took, pauses included, but not how long it then waited for somebody."""
    began = {change.state: change.at for change in migration.history}
    if "ready" not in began:
        return ""
    elapsed = began["ready"] - migration.created_at
    return f", ready after {output.seconds(elapsed.total_seconds())}"
