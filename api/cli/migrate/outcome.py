"""What a migration came to: when a command need not wait longer, its exit code, what is said."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from api.cli import output
from api.cli.migrate import text
from storage.migration_states import ENDED

Until = Literal["cutover", "end"]

CODES = {"blocked": 3, "failed": 4, "cancelled": 5, "rolled_back": 5}
HALTED = frozenset({"blocked", "failed"})


def code(found: dict[str, Any]) -> int:
    """The exit code for a migration in this state."""
    return CODES.get(found["state"], 0)


def is_open(found: dict[str, Any]) -> bool:
    return found["state"] not in ENDED


def is_over(found: dict[str, Any], until: Until = "cutover") -> bool:
    """Whether it is where it was watched to, or goes nowhere without somebody."""
    state = found["state"]
    if state in ENDED | HALTED:
        return True
    if until == "end":
        return False
    return state == "soaking" or (state == "ready" and bool(found["options"]["manual"]))


@dataclass(frozen=True)
class CutOver:
    """Whether a cut-over that was asked for is through, or was held up after it was asked for."""

    steps: int

    def __call__(self, found: dict[str, Any]) -> bool:
        state = found["state"]
        # The state that it was asked in is left by a worker, a moment later.
        held_up = state in HALTED and len(found["history"]) > self.steps
        return state == "soaking" or state in ENDED or held_up


def is_rolled_back(found: dict[str, Any]) -> bool:
    return found["state"] in ENDED | HALTED


def rollback_code(found: dict[str, Any]) -> int:
    """The exit code where a rollback was asked for."""
    return 0 if found["state"] == "rolled_back" else code(found) or 1


def describe(found: dict[str, Any]) -> Iterator[str]:
    """What happened, why where it didn't go through, and what to do."""
    yield f"{found['collection']}: {_happened(found)}."
    if found["state"] in {"soaking", "done"}:
        progress = found["progress"]
        chunks = output.count(progress["chunks_done"], "chunk")
        yield f"{output.count(progress['documents_done'], 'document')}, {chunks}{_after(found)}."
    if found["state"] in HALTED | {"ready"}:
        yield from (f"  {line}" for line in text.gates(found))
    if found["failed"]:
        yield from text.failed(found)
    if found["next"]:
        yield found["next"]


def _happened(found: dict[str, Any]) -> str:
    old, new = text.ends(found)
    error = f": {part.rstrip('.')}" if (part := text.error(found)) else ""
    happened = {
        "soaking": f"cut over, searches use {new} now",
        "done": "done" if new == text.GONE else f"done, it is in {new} now",
        "ready": f"ready to be cut over to {new}",
        "blocked": f"blocked, searches still use {old}{error}",
        "failed": f"failed, searches still use {old}{error}",
        "cancelled": f"cancelled, it stays in {old}",
        "rolled_back": "rolled back"
        if old == text.GONE
        else f"rolled back, searches use {old} again",
        "paused": "paused",
    }
    return happened.get(found["state"], str(found["state"]))


def _after(found: dict[str, Any]) -> str:
    """How long it took, pauses included, but not how long it waited for its owner."""
    at = {step["state"]: datetime.fromisoformat(step["at"]) for step in found["history"]}
    if "ready" not in at:
        return ""
    began = datetime.fromisoformat(found["created_at"])
    return f", ready after {output.seconds((at['ready'] - began).total_seconds())}"
