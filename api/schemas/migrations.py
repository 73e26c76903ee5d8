"""Re-embed migrations as they go over the wire; the stored formats are the engine's own.

Light to import (no database, no web framework): the CLI decodes answers with these structs.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from api.schemas.common import Chunking, ChunkingOptions, SpaceName
from api.schemas.reports import Verdict
from migrations.reembed import defaults
from storage.migration_states import State

MAX_GOLDEN = 5000
Share = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(gt=0, le=1e6)]
Milliseconds = Annotated[float, Meta(gt=0, le=1e6)]
Reason = Annotated[str, Meta(min_length=3, max_length=500)]


class GateOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`ndcg_drop`: how much nDCG@10 may fall over the golden queries.

    `overlap`: the minimum mean share of the ten nearest that both spaces find.
    """

    recall: Share = defaults.RECALL
    ndcg_drop: Annotated[float, Meta(ge=-1, le=1)] | None = None
    overlap: Share | None = None


class GoldenQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A judged query, with the gain of each relevant document."""

    q: Annotated[str, Meta(min_length=1)]
    relevant: Annotated[dict[str, Annotated[float, Meta(ge=0, le=1000)]], Meta(min_length=1)]


class PlanRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`chunking` of the target; by default the same strategy with the sizes of the new model."""

    model: str
    chunking: ChunkingOptions | None = None


class NewMigration(PlanRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`retain` is a number with s, m, h or d, or seconds; `max_rate` in chunks per second.

    `query_p95_ms`: above it the backfill slows down (null: never). `manual`: the cutover waits
    for a command. `waive_failed`: texts that can't be embedded don't block it.
    """

    gates: GateOptions = GateOptions()
    golden: Annotated[list[GoldenQuery], Meta(max_length=MAX_GOLDEN)] | None = None
    manual: bool = False
    retain: str | Annotated[float, Meta(ge=0)] = "24h"
    max_rate: Rate | None = None
    query_p95_ms: Milliseconds | None = defaults.QUERY_P95_MS
    waive_failed: bool = False


class ThrottleRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Omitted fields stay as they are; null removes a limit."""

    max_rate: Rate | UnsetType | None = UNSET
    query_p95_ms: Milliseconds | UnsetType | None = UNSET


class CutoverRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`force`: why gates are overruled, which is recorded."""

    force: Reason | None = None
    waive_failed: bool = False


class RollbackRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`force`: why data may be lost, which is recorded."""

    force: Reason | None = None


class MigrationSide(Struct, frozen=True, kw_only=True):
    """The old or the new index of a migration; `loaded`: this process has its model."""

    index: int
    space: SpaceName
    chunking: Chunking
    loaded: bool


class FailedText(Struct, frozen=True, kw_only=True):
    """A document of the target that could not be embedded."""

    id: str
    reason: str


class Gates(Struct, frozen=True, kw_only=True):
    """The limits that the target must reach; null: not required.

    `ndcg_drop`: how much nDCG@10 may fall. `overlap`: the minimum mean share of the ten
    nearest that both spaces find. All documents must be covered in any case.
    """

    recall: float = defaults.RECALL
    ndcg_drop: float | None = None
    overlap: float | None = None


class MigrationOptions(Struct, frozen=True, kw_only=True):
    """`max_rate` in chunks per second; above `query_p95_ms` the backfill slows down.

    `waive_failed`: texts that can't be embedded don't block; `forced`: why gates were overruled.
    """

    gates: Gates = Gates()
    manual: bool = False
    retain_s: float = defaults.RETAIN_S
    max_rate: float | None = None
    query_p95_ms: float | None = defaults.QUERY_P95_MS
    waive_failed: bool = False
    forced: str | None = None


class HnswBuild(Struct, frozen=True, kw_only=True):
    """The HNSW build as PostgreSQL reports it."""

    phase: str
    share: float


class MigrationProgress(Struct, frozen=True, kw_only=True):
    """`rate` in chunks per second over the last ten; `pace`: 1 if nothing holds it back."""

    documents: int
    documents_done: int
    chunks_done: int
    pending: int
    failed: int
    rate: float | None
    eta_s: float | None
    workers: int
    pace: float | None
    query_p95_ms: float | None
    build: HnswBuild | None


class Lag(Struct, frozen=True, kw_only=True):
    """Texts that a rollback would have to embed first (`pending`), or could not (`failed`)."""

    pending: int
    failed: int


class StateChange(Struct, frozen=True, kw_only=True):
    """When a state began, and why if there was a choice."""

    state: State
    at: datetime
    why: str | None


class Migration(Struct, frozen=True, kw_only=True):
    """`next`: what happens next, or what to do; `failed`: the first 20 texts that failed."""

    id: str
    collection: str
    state: State
    resume_state: State | None
    source: MigrationSide
    target: MigrationSide
    waiting: str | None
    error: str | None
    next: str
    options: MigrationOptions
    progress: MigrationProgress
    lag: Lag | None
    failed: list[FailedText]
    verdict: Verdict | None
    history: list[StateChange]
    retained_until: datetime | None
    created_at: datetime
    updated_at: datetime


class MigrationList(Struct, frozen=True, kw_only=True):
    """Newest first."""

    items: list[Migration]
    next_cursor: str | None


class NotNeeded(Struct, frozen=True, kw_only=True):
    """Nothing has to be embedded; `detail` says why, or what was changed at once."""

    needed: Literal[False] = False
    change: Literal["none", "query-prompt"]
    detail: str


class PlannedChunking(Struct, frozen=True, kw_only=True):
    """How texts are cut into chunks."""

    strategy: str
    size: int | None
    overlap: int


class PlannedSide(Struct, frozen=True, kw_only=True):
    """`max_tokens`: how much of a text the model reads at once; null if it has no limit."""

    space: SpaceName
    chunking: PlannedChunking
    dimensions: int
    max_tokens: int | None


class PlannedRate(Struct, frozen=True, kw_only=True):
    """How fast chunks of up to `up_to_tokens` tokens were embedded here just now."""

    up_to_tokens: int
    chunks_per_s: float
    tokens_per_s: float


class PlannedSeconds(Struct, frozen=True, kw_only=True):
    """From the first document to an index that can be verified, with one worker of this kind."""

    low: float
    likely: float
    high: float


class PlannedDisk(Struct, frozen=True, kw_only=True):
    """`free_bytes` and `fits` are null if the database is not on this machine."""

    table_bytes: int
    hnsw_bytes: int
    wal_bytes: int
    peak_bytes: int
    free_bytes: int | None
    fits: bool | None


class PlannedMemory(Struct, frozen=True, kw_only=True):
    """`models_bytes`: all loaded models, including the target (`target_bytes`).

    `fits`: the target and the models that collections need stay within the limit together.
    """

    models_bytes: int
    limit_bytes: int
    target_bytes: int
    fits: bool


class PlannedWriteCost(Struct, frozen=True, kw_only=True):
    """How much longer a write takes while two indexes are kept."""

    encode_ms_per_document: float
    insert_ms_per_document: float


class Plan(Struct, frozen=True, kw_only=True):
    """If nothing has to be embedded, nothing is measured, and all figures are 0.

    `cut_without_chunking`: texts of which the target would read only the beginning if they were not
    cut into chunks. `sampled`: documents that the estimates are based on.
    """

    needed: bool
    detail: str
    change: Literal["space", "chunking", "query-prompt", "none"]
    source: PlannedSide
    target: PlannedSide
    documents: int
    chunks: int
    tokens: int
    cut_without_chunking: int
    sampled: int
    rates: list[PlannedRate]
    seconds: PlannedSeconds
    disk: PlannedDisk
    memory: PlannedMemory
    write_cost: PlannedWriteCost
    warnings: list[str]
