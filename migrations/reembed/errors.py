"""What can go wrong with re-embed migrations.

MigrationError
├── MigrationNotFound
├── MigrationRunning     the collection already has an unfinished migration
├── TransitionRefused    not possible in the migration's state
├── CutoverBlocked       gates failed, or texts can't be embedded
├── RollbackRefused      says what would be lost and what to do
├── ReportMissing        not verified yet
└── LeaseLost            another worker took over; work in progress is dropped
"""

from collections.abc import Sequence
from uuid import UUID

from migrations.reembed import cli_hints


class MigrationError(Exception):
    pass


class MigrationNotFound(MigrationError):
    def __init__(self, collection: str, migration: object) -> None:
        super().__init__(f"collection {collection!r} has no migration {migration}")


class MigrationRunning(MigrationError):
    def __init__(self, collection: str, migration: UUID, state: str) -> None:
        retire, rollback, cancel = (
            cli_hints.migrate_command(collection, subcommand)
            for subcommand in ("retire", "rollback", "cancel")
        )
        advice = (
            f"{retire} drops the old index now, {rollback} returns to it"
            if state == "soaking"
            else f"{cancel} cancels it"
        )
        super().__init__(
            f"collection {collection!r} already has migration {migration}, which is {state}, and "
            f"can have only one at a time: {advice}"
        )
        self.migration = migration


class TransitionRefused(MigrationError):
    pass


class CutoverBlocked(MigrationError):
    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(
            "the cutover is blocked: "
            + "; ".join(reasons)
            + ". Fix this and resume, or force the cutover with a reason, which is recorded"
        )


class RollbackRefused(MigrationError):
    pass


class ReportMissing(MigrationError):
    pass


class LeaseLost(MigrationError):
    pass
