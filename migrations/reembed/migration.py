"""A re-embed migration as read at one moment, with its collection and its two indexes."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast
from uuid import UUID

import msgspec
import structlog
from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from migrations.reembed import defaults, errors, states
from storage import collections, indexes, migrations
from storage.collections import CollectionRow
from storage.indexes import IndexRow
from storage.migration_states import State
from storage.migrations import MigrationRow

log = structlog.get_logger()


class Gates(Struct, frozen=True, kw_only=True):
    """What the target must reach: `recall` always, the others if set; coverage must be 1.

    `ndcg_drop`: maximum drop of nDCG@10 from source to target. `overlap`: minimum mean share of
    the ten nearest documents that both indexes find.
    """

    recall: float = defaults.RECALL
    ndcg_drop: float | None = None
    overlap: float | None = None


class Options(Struct, frozen=True, kw_only=True):
    """How to run a migration, as stored with it.

    `max_rate`: maximum chunks per second. `query_p95_ms`: above it the backfill slows down.
    `waive_failed`: texts that can't be embedded don't block. `forced`: why gates were overruled.
    """

    gates: Gates = Gates()
    manual: bool = False
    retain_s: float = defaults.RETAIN_S
    max_rate: float | None = None
    query_p95_ms: float | None = defaults.QUERY_P95_MS
    waive_failed: bool = False
    forced: str | None = None

    @classmethod
    def from_stored(cls, stored: Mapping[str, object]) -> "Options":
        return msgspec.convert(stored, cls)

    def to_stored(self) -> dict[str, object]:
        stored: dict[str, object] = msgspec.to_builtins(self)
        return stored


class IndexSummary(Struct, frozen=True, kw_only=True):
    """The model and chunking of an index, as stored with a migration: it outlives the table."""

    index: int
    fingerprint: str
    model_id: str
    strategy: str
    size: int | None
    overlap: int

    @classmethod
    def from_row(cls, index: IndexRow) -> "IndexSummary":
        return cls(
            index=index.id,
            fingerprint=index.fingerprint,
            model_id=index.model_id,
            strategy=index.strategy,
            size=index.size,
            overlap=index.overlap,
        )


class IndexSummaries(Struct, frozen=True, kw_only=True):
    """A migration's two indexes, as stored in its column `sides`."""

    source: IndexSummary
    target: IndexSummary

    @classmethod
    def from_rows(cls, source: IndexRow, target: IndexRow) -> "IndexSummaries":
        return cls(source=IndexSummary.from_row(source), target=IndexSummary.from_row(target))


class StateChange(Struct, frozen=True, kw_only=True):
    """When a state began, and why if there was a choice; as stored in a migration's history."""

    state: State
    at: datetime
    why: str | None


def state_changes(history: Sequence[Mapping[str, object]]) -> list[StateChange]:
    """The stored history of a migration, oldest first."""
    return msgspec.convert(history, list[StateChange])


@dataclasses.dataclass(frozen=True)
class Migration:
    """`source` and `target` are None after their tables were dropped; `now` is the database's."""

    row: MigrationRow
    collection: CollectionRow
    source: IndexRow | None
    target: IndexRow | None
    now: datetime

    @property
    def id(self) -> UUID:
        return self.row.id

    @property
    def state(self) -> State:
        return cast(State, self.row.state)

    @property
    def resume_state(self) -> State | None:
        return cast(State | None, self.row.resume_state)

    @property
    def options(self) -> Options:
        return Options.from_stored(self.row.options)

    @property
    def sides(self) -> IndexSummaries:
        return msgspec.convert(self.row.sides, IndexSummaries)

    @property
    def target_index(self) -> IndexRow:
        """The target, which exists until the migration is over. Raises TransitionRefused."""
        if self.target is None:
            raise errors.TransitionRefused(
                f"migration {self.id} is over: its target index was dropped"
            )
        return self.target

    @property
    def source_index(self) -> IndexRow:
        """The source, which exists until it is retired. Raises TransitionRefused."""
        if self.source is None:
            raise errors.TransitionRefused(
                f"migration {self.id} is over: its source index was dropped"
            )
        return self.source

    @property
    def is_soaking(self) -> bool:
        """Searches use the target, and the source is kept up to date for a rollback."""
        return "soaking" in (self.state, self.resume_state)

    @property
    def is_idle(self) -> bool:
        """Workers have nothing to do until the retention period ends."""
        return self.state == "soaking" and not self.is_retention_over

    @property
    def awaits_cutover(self) -> bool:
        """It continues when somebody starts the cutover."""
        return self.state == "ready" and self.options.manual

    @property
    def is_retention_over(self) -> bool:
        until = self.row.retained_until
        return until is not None and until <= self.now


async def read(conn: AsyncConnection, migration_id: UUID) -> Migration | None:
    """None if it was deleted with its collection."""
    row = await migrations.by_id(conn, migration_id)
    return None if row is None else await from_row(conn, row)


async def from_row(conn: AsyncConnection, row: MigrationRow) -> Migration | None:
    """None if the collection was deleted."""
    collection = await collections.by_id(conn, row.collection_id)
    if collection is None:
        return None
    return Migration(
        row,
        collection,
        await indexes.by_id(conn, row.source_index_id),
        await indexes.by_id(conn, row.target_index_id),
        (await conn.execute(text("SELECT now()"))).scalar_one(),
    )


async def change_state(
    conn: AsyncConnection,
    migration: Migration,
    to: State,
    *,
    epoch: int | None = None,
    why: str | None = None,
    **columns: object,
) -> None:
    """Enter the next state, in the caller's transaction; `columns` are stored with it.

    Raises TransitionRefused if `to` can't follow the current state, LeaseLost if the migration
    has changed state meanwhile, or another worker leads it (with `epoch`).
    """
    states.check(migration.state, to, migration.resume_state)
    changed = await migrations.change_state(
        conn,
        migration.id,
        from_state=migration.state,
        to_state=to,
        epoch=epoch,
        why=why,
        **{"resume_state": None, "error": None, **columns},
    )
    if not changed:
        raise errors.LeaseLost(f"migration {migration.id} is no longer {migration.state}")
    log.info("migration_moved", migration=str(migration.id), state=to, why=why)
