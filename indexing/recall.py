"""How much of what an exact search finds an HNSW search finds, too."""

from collections.abc import Sequence

# Rows of one text have the same vector; two that differ by rounding alone are as good.
_ALIKE = 1e-6


def recall(truth: Sequence[Sequence[float]], found: Sequence[Sequence[float]]) -> float:
    """The share of the neighbours found that are no farther than the true ones: 0 to 1.

    Each item holds the cosine distances of one query's k nearest rows, in ascending order, by an
    exact search (`truth`) and by the other (`found`). By distance, as ann-benchmarks has it
    (`get_recall_values`), not by id: of rows that are equally near, any will do. 1 where there was
    nothing to be found.
    """
    hits = sum(_hits(*pair) for pair in zip(truth, found, strict=True))
    wanted = sum(map(len, truth))
    return hits / wanted if wanted else 1.0


def _hits(truth: Sequence[float], found: Sequence[float]) -> int:
    if not truth:
        return 0
    near = sum(distance <= truth[-1] + _ALIKE for distance in found)
    return min(near, len(truth))
