"""The states of a re-embed migration. Imports nothing heavy: the CLI reads them, too."""

from typing import Literal

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

# A migration in one of these never changes again; a collection has at most one in any other.
ENDED: frozenset[State] = frozenset({"done", "cancelled", "rolled_back"})
