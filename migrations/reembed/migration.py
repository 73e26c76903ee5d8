"""A re-embed migration with the two indexes that it is between, as one reads it at one time."""

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

from migrations.reembed import errors, states
from migrations.reembed.states import State
from storage import collections, indexes, migrations
from storage.collections import CollectionRow
from storage.indexes import IndexRow
from storage.migrations import MigrationRow

DEFAULT_RETAIN_S = 24 * 3600.0
DEFAULT_RECALL = 0.98
# Above it live searches are slow to a person; an idle machine answers in 10 to 20 ms.
DEFAULT_QUERY_P95_MS = 100.0


class Gates(Struct, frozen=True, kw_only=True):
    """What the target must reach: `recall` always, the others where given; coverage is always 1.

    `ndcg_drop`: nDCG@10 of the source less that of the target, at most. `overlap`: mean share of
    the ten nearest that both find, at least.
    """

    recall: float = DEFAULT_RECALL
    ndcg_drop: float | None = None
    overlap: float | None = None


class Options(Struct, frozen=True, kw_only=True):
    """`max_rate` in chunks a second; `query_p95_ms`: above it the backfill slows down.

    `waive_failed`: texts that can't be embedded don't block; `forced`: why gates were overruled.
    """

    gates: Gates = Gates()
    manual: bool = False
    retain_s: float = DEFAULT_RETAIN_S
    max_rate: float | None = None
    query_p95_ms: float | None = DEFAULT_QUERY_P95_MS
    waive_failed: bool = False
    forced: str | None = None

    @classmethod
    def from_stored(cls, stored: Mapping[str, object]) -> "Options":
        return msgspec.convert(stored, cls)

    def to_stored(self) -> dict[str, object]:
        built: dict[str, object] = msgspec.to_builtins(self)
        return built


log = structlog.get_logger()


@dataclasses.dataclass(frozen=True)
class Migration:
    """`source` is None once its table was retired and dropped; `now` by the database's clock."""

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
    def sides(self) -> "IndexSummaries":
        return msgspec.convert(self.row.sides, IndexSummaries)

    @property
    def target_index(self) -> IndexRow:
        """The target, which is there until the migration is over. Raises TransitionRefused."""
        if self.target is None:
            raise errors.TransitionRefused(f"the migration {self.id} is over: its target is gone")
        return self.target

    @property
    def source_index(self) -> IndexRow:
        """The source, which is there until it is retired. Raises TransitionRefused."""
        if self.source is None:
            raise errors.TransitionRefused(f"the migration {self.id} is over: its source is gone")
        return self.source

    @property
    def is_soaking(self) -> bool:
        """The target answers, and the source is kept fresh for a rollback."""
        return "soaking" in (self.state, self.resume_state)

    @property
    def is_idle(self) -> bool:
        """Nothing to do for a worker now: time has to pass."""
        return self.state == "soaking" and not self.is_retention_over

    @property
    def awaits_cutover(self) -> bool:
        """It goes on when somebody orders the cut-over."""
        return self.state == "ready" and self.options.manual

    @property
    def is_retention_over(self) -> bool:
        until = self.row.retained_until
        return until is not None and until <= self.now


async def read(conn: AsyncConnection, migration_id: UUID) -> Migration | None:
    """None where it is gone with its collection."""
    row = await migrations.by_id(conn, migration_id)
    return None if row is None else await from_row(conn, row)


async def from_row(conn: AsyncConnection, row: MigrationRow) -> Migration | None:
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


async def move(
    conn: AsyncConnection,
    migration: Migration,
    to: State,
    *,
    epoch: int | None = None,
    why: str | None = None,
    **values: object,
) -> None:
    """The next state, in the caller's transaction.

    Raises TransitionRefused where it may not follow, LeaseLost where somebody else was faster.
    """
    states.check(migration.state, to, migration.resume_state)
    kept = {"resume_state": None, "error": None, **values}
    done = await migrations.change_state(
        conn,
        migration.id,
        from_state=migration.state,
        to_state=to,
        epoch=epoch,
        why=why,
        **kept,
    )
    if not done:
        raise errors.LeaseLost(f"the migration {migration.id} is not {migration.state} any more")
    log.info("migration_moved", migration=str(migration.id), state=to, why=why)


class IndexSummary(Struct, frozen=True, kw_only=True):
    """What an index was made of, kept when its table is gone."""

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
    source: IndexSummary
    target: IndexSummary


class StateChange(Struct, frozen=True, kw_only=True):
    """When a state began, and why where there was a choice."""

    state: State
    at: datetime
    why: str | None


def state_changes(history: Sequence[Mapping[str, object]]) -> list[StateChange]:
    return msgspec.convert(history, list[StateChange])
