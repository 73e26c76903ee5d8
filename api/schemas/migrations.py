"""Re-embed migrations as they go over the wire."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy.ext.asyncio import AsyncConnection

from api.schemas import common as common_schemas
from api.schemas.common import Chunking, ChunkingOptions, SpaceName
from api.service import Service
from migrations.reembed import migration, status
from migrations.reembed.states import State
from migrations.reembed.verifying import report
from migrations.reembed.verifying.report import Report

MAX_GOLDEN = 5000
Share = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(gt=0, le=1e6)]
Milliseconds = Annotated[float, Meta(gt=0, le=1e6)]
Reason = Annotated[str, Meta(min_length=3, max_length=500)]


class GateOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`ndcg_drop`: what nDCG@10 may fall by, over the golden queries; `overlap`: of the ten."""

    recall: Share = migration.DEFAULT_RECALL
    ndcg_drop: Annotated[float, Meta(ge=-1, le=1)] | None = None
    overlap: Share | None = None


class GoldenQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A judged query: the gain of each document that is relevant for it."""

    q: Annotated[str, Meta(min_length=1)]
    relevant: Annotated[dict[str, Annotated[float, Meta(ge=0, le=1000)]], Meta(min_length=1)]


class PlanRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`chunking` of the target; by default the strategy stays, with the new model's sizes."""

    model: str
    chunking: ChunkingOptions | None = None


class NewMigration(PlanRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`retain` is a number with s, m, h or d, or seconds; `max_rate` in chunks a second.

    `query_p95_ms`: above it the backfill slows down (null: never). `manual`: the cut-over waits
    for a person. `waive_failed`: texts that can't be embedded don't block it.
    """

    gates: GateOptions = GateOptions()
    golden: Annotated[list[GoldenQuery], Meta(max_length=MAX_GOLDEN)] | None = None
    manual: bool = False
    retain: str | Annotated[float, Meta(ge=0)] = "24h"
    max_rate: Rate | None = None
    query_p95_ms: Milliseconds | None = migration.DEFAULT_QUERY_P95_MS
    waive_failed: bool = False


class ThrottleRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    max_rate: Rate | UnsetType | None = UNSET
    query_p95_ms: Milliseconds | UnsetType | None = UNSET


class CutoverRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`force` overrules gates, and is recorded."""

    force: Reason | None = None
    waive_failed: bool = False


class RollbackRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    force: Reason | None = None


class MigrationSide(Struct, frozen=True, kw_only=True):
    """An index that a migration is between; `loaded`: this process has its model."""

    index: int
    space: SpaceName
    chunking: Chunking
    loaded: bool


class FailedText(Struct, frozen=True, kw_only=True):
    id: str
    reason: str


class Migration(Struct, frozen=True, kw_only=True):
    """`next`: what happens next, or what to do; `failed`: the first twenty texts set aside."""

    id: str
    collection: str
    state: State
    resume_state: State | None
    source: MigrationSide
    target: MigrationSide
    waiting: str | None
    error: str | None
    next: str
    options: migration.Options
    progress: status.MigrationProgress
    lag: status.Lag | None
    failed: list[FailedText]
    verdict: report.Verdict | None
    history: list[migration.StateChange]
    retained_until: datetime | None
    created_at: datetime
    updated_at: datetime


class MigrationList(Struct, frozen=True, kw_only=True):
    """The newest first."""

    items: list[Migration]
    next_cursor: str | None


class NotNeeded(Struct, frozen=True, kw_only=True):
    """Nothing has to be embedded; `detail` says why, or what was switched at once."""

    needed: Literal[False] = False
    change: Literal["none", "query-prompt"]
    detail: str


async def describe(
    conn: AsyncConnection, service: Service, found: migration.Migration
) -> Migration:
    stands = await status.read(conn, found)
    row = found.row
    return Migration(
        id=str(found.id),
        collection=found.collection.name,
        state=found.state,
        resume_state=found.resume_state,
        source=_side(service, found.sides.source),
        target=_side(service, found.sides.target),
        waiting=row.waiting,
        error=row.error,
        next=stands.next,
        options=found.options,
        progress=stands.progress,
        lag=stands.lag,
        failed=[FailedText(id=id_, reason=why) for id_, why in stands.failed],
        verdict=None if row.report is None else Report.from_stored(row.report).verdict,
        history=migration.state_changes(row.history),
        retained_until=row.retained_until,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _side(service: Service, side: migration.IndexSummary) -> MigrationSide:
    return MigrationSide(
        index=side.index,
        space=common_schemas.SpaceName(id=side.fingerprint, model=side.model_id),
        chunking=common_schemas.Chunking(
            strategy=side.strategy, size=side.size, overlap=side.overlap
        ),
        loaded=any(one.fingerprint == side.fingerprint for one in service.models.loaded),
    )
