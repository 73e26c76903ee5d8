"""Compares what two spaces find for the same queries."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from migrations.reembed.verifying.report import ChangedQuery, Overlap, ShownResult
from storage.search import Hit

AT = 10
MOST_CHANGED = 10
_SHOWN_CHARS = 200
_QUERY_CHARS = 500


@dataclass(frozen=True)
class ResultComparison:
    """One query and its nearest documents in both spaces, at most AT of each."""

    q: str
    old: Sequence[Hit]
    new: Sequence[Hit]

    @property
    def overlap(self) -> float:
        return ranking_overlap(*self._keys)

    @property
    def rank_shift(self) -> float | None:
        return rank_shift(*self._keys)

    @property
    def _keys(self) -> tuple[list[object], list[object]]:
        return [hit.doc_key for hit in self.old], [hit.doc_key for hit in self.new]


def mean_overlap(compared: Sequence[ResultComparison]) -> Overlap | None:
    """None if no query found anything in either space."""
    usable = [query for query in compared if query.old or query.new]
    if not usable:
        return None
    shifts = [shift for query in usable if (shift := query.rank_shift) is not None]
    return Overlap(
        mean=sum(query.overlap for query in usable) / len(usable),
        at=AT,
        rank_shift=sum(shifts) / len(shifts) if shifts else 0.0,
    )


def most_changed(compared: Sequence[ResultComparison]) -> list[ChangedQuery]:
    """Queries whose results changed: smallest overlap first, then largest rank shift."""
    ranked = sorted(compared, key=lambda query: (query.overlap, -(query.rank_shift or 0.0)))
    changed = [query for query in ranked if query.overlap < 1 or query.rank_shift]
    return [
        ChangedQuery(
            q=shortened(query.q, _QUERY_CHARS),
            overlap=query.overlap,
            old=[_shown_result(hit) for hit in query.old],
            new=[_shown_result(hit) for hit in query.new],
        )
        for query in changed[:MOST_CHANGED]
    ]


def shortened(text: str, chars: int) -> str:
    """At most `chars` characters, ending in an ellipsis if cut."""
    return text if len(text) <= chars else text[: chars - 1].rstrip() + "\u2026"


def _shown_result(hit: Hit) -> ShownResult:
    return ShownResult(id=hit.id, score=hit.score, text=shortened(hit.text, _SHOWN_CHARS))


def ndcg(ranked: Sequence[str], relevance: Mapping[str, float], k: int) -> float:
    """nDCG at k as in trec_eval: the gain is the relevance, discounted by log2(rank + 1)."""
    ideal = _discounted(sorted(relevance.values(), reverse=True)[:k])
    gained = _discounted([relevance.get(id_, 0) for id_ in ranked[:k]])
    return gained / ideal if ideal else 0.0


def _discounted(gains: Sequence[float]) -> float:
    return sum(max(0, gain) / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def ranking_overlap(old: Sequence[Hashable], new: Sequence[Hashable]) -> float:
    """The share of the longer list that is in both; 1 if both are empty."""
    longer = max(len(old), len(new))
    return len(set(old) & set(new)) / longer if longer else 1.0


def rank_shift(old: Sequence[Hashable], new: Sequence[Hashable]) -> float | None:
    """By how many ranks the items in both lists moved, on average; None if they share none."""
    new_ranks = {item: rank for rank, item in enumerate(new)}
    shifts = [abs(new_ranks[item] - rank) for rank, item in enumerate(old) if item in new_ranks]
    return sum(shifts) / len(shifts) if shifts else None
