"""What can go wrong with re-embed migrations.

MigrationError
├── MigrationNotFound
├── MigrationRunning     the collection has one that is not over
├── TransitionRefused    the state doesn't allow it
├── CutoverBlocked       gates failed, or texts can't be embedded
├── RollbackRefused      what would be lost, and what to do
├── ReportMissing        nothing was verified yet
└── LeaseLost            another worker has taken over; what was under way is dropped
"""

from collections.abc import Sequence
from uuid import UUID

from migrations.reembed import cli_hints


class MigrationError(Exception):
    pass


class MigrationNotFound(MigrationError):
    def __init__(self, collection: str, migration: object) -> None:
        super().__init__(f"the collection {collection!r} has no migration {migration}")


class MigrationRunning(MigrationError):
    def __init__(self, collection: str, migration: UUID, state: str) -> None:
        retire, rollback, cancel = (
            cli_hints.command(collection, words) for words in ("retire", "rollback", "cancel")
        )
        after = (
            f"{retire} ends its time of grace, {rollback} undoes it"
            if state == "soaking"
            else f"{cancel} drops it"
        )
        super().__init__(
            f"the collection {collection!r} has the migration {migration}, which is {state}; "
            f"one at a time: {after}"
        )
        self.migration = migration


class TransitionRefused(MigrationError):
    pass


class CutoverBlocked(MigrationError):
    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(
            "the cut-over is blocked: "
            + "; ".join(reasons)
            + ". Mend it and resume, or force it with a reason, which is recorded"
        )


class RollbackRefused(MigrationError):
    pass


class ReportMissing(MigrationError):
    pass


class LeaseLost(MigrationError):
    pass
