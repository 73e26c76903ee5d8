"""The measures of what a search finds, written out; the benchmarks use the same."""

import math
from collections.abc import Hashable, Mapping, Sequence


def ndcg(ranked: Sequence[str], relevance: Mapping[str, float], k: int) -> float:
    """trec_eval's nDCG at k: the gain is the relevance, discounted by log2 of the rank plus one."""
    ideal = _discounted(sorted(relevance.values(), reverse=True)[:k])
    gained = _discounted([relevance.get(id_, 0) for id_ in ranked[:k]])
    return gained / ideal if ideal else 0.0


def _discounted(gains: Sequence[float]) -> float:
    return sum(max(0, gain) / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all values do not exceed."""
    ordered = sorted(values)
    rank = math.ceil(percent / 100 * len(ordered))
    return ordered[max(1, rank) - 1]


def overlap(old: Sequence[Hashable], new: Sequence[Hashable]) -> float:
    """The share of the longer list that both hold; 1 for two that are empty."""
    longer = max(len(old), len(new))
    return len(set(old) & set(new)) / longer if longer else 1.0


def rank_shift(old: Sequence[Hashable], new: Sequence[Hashable]) -> float | None:
    """Places that what both hold moved, on average; None where they share nothing."""
    places = {one: place for place, one in enumerate(new)}
    moved = [abs(places[one] - place) for place, one in enumerate(old) if one in places]
    return sum(moved) / len(moved) if moved else None
