"""What was found out about a target before its cut-over; stored with the migration."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct


class Gate(Struct, frozen=True, kw_only=True):
    """One demand; `value` None where it could not be measured, which does not pass."""

    name: str
    limit: float
    value: float | None
    passed: bool
    detail: str


class Verdict(Struct, frozen=True, kw_only=True):
    passed: bool
    gates: list[Gate]


class Coverage(Struct, frozen=True, kw_only=True):
    """Documents without vectors of their present text, by SQL; `waived` of them may lack them.

    `waiting` ones were written meanwhile and have their turn: the cut-over waits for them.
    """

    documents: int
    missing: int
    waived: int
    waiting: int = 0


class Recall(Struct, frozen=True, kw_only=True):
    """recall@10 against exact search; 1 where searches are exact."""

    value: float
    path: Literal["exact", "hnsw"]
    queries: int
    ef_search: int | None


class ShownResult(Struct, frozen=True, kw_only=True):
    id: str
    score: float
    text: str


class ChangedQuery(Struct, frozen=True, kw_only=True):
    """One query with what both spaces find; `overlap` is the share of the ten found by both."""

    q: str
    overlap: float
    old: list[ShownResult]
    new: list[ShownResult]


class Overlap(Struct, frozen=True, kw_only=True):
    """Means over the queries; `rank_shift`: places that a document found by both moved."""

    mean: float
    at: int
    rank_shift: float


class Ndcg(Struct, frozen=True, kw_only=True):
    """nDCG@10 over the judged queries; `old` and `drop` None where the source is not available."""

    old: float | None
    new: float
    drop: float | None
    queries: int


class Latency(Struct, frozen=True, kw_only=True):
    """Milliseconds of encoding and searching, one query at a time."""

    p50_ms: float
    p95_ms: float


class Latencies(Struct, frozen=True, kw_only=True):
    old: Latency | None
    new: Latency


class Point(Struct, frozen=True, kw_only=True):
    """A threshold `old` acts as `new` does in the new space, give or take `error`."""

    old: float
    new: float
    error: float


class Translation(Struct, frozen=True, kw_only=True):
    """Of `pairs` of a query and a document; `disagreement`: share decided otherwise, held out."""

    pairs: int
    points: list[Point]
    disagreement: float


class Queries(Struct, frozen=True, kw_only=True):
    count: int
    source: Literal["searches", "documents"]


class Report(Struct, frozen=True, kw_only=True):
    """`unavailable`: what could not be found out, and why."""

    created_at: datetime
    coverage: Coverage
    recall: Recall
    queries: Queries
    overlap: Overlap | None
    most_changed: list[ChangedQuery]
    ndcg: Ndcg | None
    latency: Latencies
    translation: Translation | None
    unavailable: dict[str, str]
    verdict: Verdict

    @classmethod
    def from_stored(cls, stored: Mapping[str, object]) -> "Report":
        return msgspec.convert(stored, cls)

    def to_stored(self) -> dict[str, object]:
        built: dict[str, object] = msgspec.to_builtins(self)
        return built
