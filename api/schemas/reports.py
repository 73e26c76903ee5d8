"""The verification report of a migration, as it goes over the wire."""

from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct

from migrations.reembed.verifying import report as reembed_report


class Gate(Struct, frozen=True, kw_only=True):
    """One requirement; `value` is null if it could not be measured, which counts as a failure."""

    name: str
    limit: float
    value: float | None
    passed: bool
    detail: str


class Verdict(Struct, frozen=True, kw_only=True):
    """Whether the target may be cut over to: all gates must pass."""

    passed: bool
    gates: list[Gate]


class Coverage(Struct, frozen=True, kw_only=True):
    """Documents without vectors of their current text, counted by SQL; `waived` may lack them.

    `waiting`: written during the verification and about to be embedded; the cutover waits for
    them.
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
    """A search result in one of the two spaces; `text` is an excerpt."""

    id: str
    score: float
    text: str


class ChangedQuery(Struct, frozen=True, kw_only=True):
    """A query with its results in both spaces; `overlap` is the share of the ten found by both."""

    q: str
    overlap: float
    old: list[ShownResult]
    new: list[ShownResult]


class Overlap(Struct, frozen=True, kw_only=True):
    """Means over the queries; `rank_shift`: how many ranks a document found by both moved."""

    mean: float
    at: int
    rank_shift: float


class Ndcg(Struct, frozen=True, kw_only=True):
    """nDCG@10 over the judged queries; `old` and `drop` are null if the source is unavailable."""

    old: float | None
    new: float
    drop: float | None
    queries: int


class Latency(Struct, frozen=True, kw_only=True):
    """Milliseconds to encode and search, one query at a time."""

    p50_ms: float
    p95_ms: float


class Latencies(Struct, frozen=True, kw_only=True):
    """Of both spaces; `old` is null if the source is unavailable."""

    old: Latency | None
    new: Latency


class Point(Struct, frozen=True, kw_only=True):
    """A threshold `old` corresponds to `new` in the new space, within `error`."""

    old: float
    new: float
    error: float


class Translation(Struct, frozen=True, kw_only=True):
    """Score thresholds, from `pairs` of a query and a document.

    `disagreement`: the share of held-out pairs that the two thresholds decide differently.
    """

    pairs: int
    points: list[Point]
    disagreement: float


class Queries(Struct, frozen=True, kw_only=True):
    """How many queries were compared, and where they come from."""

    count: int
    source: Literal["searches", "documents"]


class Report(Struct, frozen=True, kw_only=True):
    """`unavailable`: what could not be measured, and why."""

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


def report(measured: reembed_report.Report) -> Report:
    return msgspec.convert(measured, Report, from_attributes=True)


def verdict(measured: reembed_report.Verdict) -> Verdict:
    return msgspec.convert(measured, Verdict, from_attributes=True)
