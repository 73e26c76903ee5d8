"""What two spaces find for the same queries, held side by side."""

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
    """One query and its nearest documents in both spaces, AT of each at most."""

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
    """None where no query found anything in either space."""
    found = [one for one in compared if one.old or one.new]
    if not found:
        return None
    shifts = [shift for one in found if (shift := one.rank_shift) is not None]
    return Overlap(
        mean=sum(one.overlap for one in found) / len(found),
        at=AT,
        rank_shift=sum(shifts) / len(shifts) if shifts else 0.0,
    )


def most_changed(compared: Sequence[ResultComparison]) -> list[ChangedQuery]:
    """The least overlap first, then the greatest shift; those that changed at all."""
    ranked = sorted(compared, key=lambda one: (one.overlap, -(one.rank_shift or 0.0)))
    changed = [one for one in ranked if one.overlap < 1 or one.rank_shift]
    return [
        ChangedQuery(
            q=shortened(one.q, _QUERY_CHARS),
            overlap=one.overlap,
            old=[_result_lines(hit) for hit in one.old],
            new=[_result_lines(hit) for hit in one.new],
        )
        for one in changed[:MOST_CHANGED]
    ]


def shortened(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars - 1].rstrip() + "\u2026"


def _result_lines(hit: Hit) -> ShownResult:
    return ShownResult(id=hit.id, score=hit.score, text=shortened(hit.text, _SHOWN_CHARS))


def ndcg(ranked: Sequence[str], relevance: Mapping[str, float], k: int) -> float:
    """trec_eval's nDCG at k: the gain is the relevance, discounted by log2 of the rank plus one."""
    ideal = _discounted(sorted(relevance.values(), reverse=True)[:k])
    gained = _discounted([relevance.get(id_, 0) for id_ in ranked[:k]])
    return gained / ideal if ideal else 0.0


def _discounted(gains: Sequence[float]) -> float:
    return sum(max(0, gain) / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def ranking_overlap(old: Sequence[Hashable], new: Sequence[Hashable]) -> float:
    """The share of the longer list that both hold; 1 for two that are empty."""
    longer = max(len(old), len(new))
    return len(set(old) & set(new)) / longer if longer else 1.0


def rank_shift(old: Sequence[Hashable], new: Sequence[Hashable]) -> float | None:
    """Places that what both hold moved, on average; None where they share nothing."""
    places = {one: place for place, one in enumerate(new)}
    moved = [abs(places[one] - place) for place, one in enumerate(old) if one in places]
    return sum(moved) / len(moved) if moved else None
