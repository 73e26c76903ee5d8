"""The report of a verification, as stored with its migration."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct


class Gate(Struct, frozen=True, kw_only=True):
    """One requirement; `value` is None if it could not be measured, which fails."""

    name: str
    limit: float
    value: float | None
    passed: bool
    detail: str


class Verdict(Struct, frozen=True, kw_only=True):
    passed: bool
    gates: list[Gate]


class Coverage(Struct, frozen=True, kw_only=True):
    """Documents without vectors of their current text, counted by SQL.

    Of the `missing` ones, `waived` may stay so, and `waiting` were just written: the cutover waits
    for them.
    """

    documents: int
    missing: int
    waived: int
    waiting: int = 0


class Recall(Struct, frozen=True, kw_only=True):
    """recall@10 against exact search; 1 if searches are exact."""

    value: float
    path: Literal["exact", "hnsw"]
    queries: int
    ef_search: int | None


class ShownResult(Struct, frozen=True, kw_only=True):
    id: str
    score: float
    text: str


class ChangedQuery(Struct, frozen=True, kw_only=True):
    """A query with the results in both spaces; `overlap` is the share of the ten found by both."""

    q: str
    overlap: float
    old: list[ShownResult]
    new: list[ShownResult]


class Overlap(Struct, frozen=True, kw_only=True):
    """Means over the queries; `rank_shift`: by how many ranks documents found by both moved."""

    mean: float
    at: int
    rank_shift: float


class Ndcg(Struct, frozen=True, kw_only=True):
    """nDCG@10 over the golden queries; `old` and `drop` are None without the source's model."""

    old: float | None
    new: float
    drop: float | None
    queries: int


class Latency(Struct, frozen=True, kw_only=True):
    """Milliseconds to encode and search, one query at a time."""

    p50_ms: float
    p95_ms: float


class Latencies(Struct, frozen=True, kw_only=True):
    old: Latency | None
    new: Latency


class Point(Struct, frozen=True, kw_only=True):
    """A score threshold `old` and its equivalent `new` in the new space, plus or minus `error`."""

    old: float
    new: float
    error: float


class Translation(Struct, frozen=True, kw_only=True):
    """Computed from `pairs` of a query and a document.

    `disagreement`: the share of held-out pairs that the two thresholds decide differently.
    """

    pairs: int
    points: list[Point]
    disagreement: float


class Queries(Struct, frozen=True, kw_only=True):
    count: int
    source: Literal["searches", "documents"]


class Report(Struct, frozen=True, kw_only=True):
    """`unavailable`: why a measurement is missing, by its name."""

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
