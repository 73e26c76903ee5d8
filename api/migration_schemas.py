"""Re-embed migrations as they go over the wire."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from api.schemas import ChunkingShown, ChunkingWish, SpaceName
from migrations.reembed import migration, options, status
from migrations.reembed.states import State
from migrations.reembed.verifying import report

MAX_GOLDEN = 5000
Share = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(gt=0, le=1e6)]
Milliseconds = Annotated[float, Meta(gt=0, le=1e6)]
Reason = Annotated[str, Meta(min_length=3, max_length=500)]


class GatesWish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`ndcg_drop`: what nDCG@10 may fall by, over the golden queries; `overlap`: of the ten."""

    recall: Share = options.RECALL
    ndcg_drop: Annotated[float, Meta(ge=-1, le=1)] | None = None
    overlap: Share | None = None


class Golden(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A judged query: the gain of each document that is relevant for it."""

    q: Annotated[str, Meta(min_length=1)]
    relevant: Annotated[dict[str, Annotated[float, Meta(ge=0, le=1000)]], Meta(min_length=1)]


class PlanWish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`chunking` of the target; by default the strategy stays, with the new model's sizes."""

    model: str
    chunking: ChunkingWish | None = None


class NewMigration(PlanWish, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`retain` is a number with s, m, h or d, or seconds; `max_rate` in chunks a second.

    `query_p95_ms`: above it the backfill slows down (null: never). `manual`: the cut-over waits
    for a person. `waive_failed`: texts that can't be embedded don't block it.
    """

    gates: GatesWish = GatesWish()
    golden: Annotated[list[Golden], Meta(max_length=MAX_GOLDEN)] | None = None
    manual: bool = False
    retain: str | Annotated[float, Meta(ge=0)] = "24h"
    max_rate: Rate | None = None
    query_p95_ms: Milliseconds | None = options.QUERY_P95_MS
    waive_failed: bool = False


class ThrottleWish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    max_rate: Rate | UnsetType | None = UNSET
    query_p95_ms: Milliseconds | UnsetType | None = UNSET


class CutoverWish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`force` overrules gates, and is recorded."""

    force: Reason | None = None
    waive_failed: bool = False


class RollbackWish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    force: Reason | None = None


class Side(Struct, frozen=True, kw_only=True):
    """An index that a migration is between; `loaded`: this process has its model."""

    index: int
    space: SpaceName
    chunking: ChunkingShown
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
    source: Side
    target: Side
    waiting: str | None
    error: str | None
    next: str
    options: options.Options
    progress: status.Progress
    lag: status.Lag | None
    failed: list[FailedText]
    verdict: report.Verdict | None
    history: list[migration.Moment]
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
