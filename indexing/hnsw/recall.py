"""How much of what an exact search finds an HNSW search finds, too."""

from collections.abc import Sequence

# Rows of one text have the same vector; two that differ by rounding alone are as good.
_ALIKE = 1e-6


def recall(truth: Sequence[Sequence[float]], found: Sequence[Sequence[float]]) -> float:
    """The share of the true neighbours for which one as near was found: 0 to 1.

    Each item holds the cosine distances of one query's k nearest rows, by an exact search (`truth`)
    and by the other (`found`). By distance, as ann-benchmarks has it (`get_recall_values`), not by
    id: of rows that are equally near, any will do. But none stands in for a nearer one. 1 where
    there was nothing to be found.
    """
    hits = sum(_hits(*pair) for pair in zip(truth, found, strict=True))
    wanted = sum(map(len, truth))
    return hits / wanted if wanted else 1.0


def _hits(truth: Sequence[float], found: Sequence[float]) -> int:
    """Pairs of alike distances, each used once."""
    hits = 0
    left = iter(sorted(found))
    distance = next(left, None)
    for wanted in sorted(truth):
        while distance is not None and distance < wanted - _ALIKE:
            distance = next(left, None)
        if distance is not None and distance <= wanted + _ALIKE:
            hits += 1
            distance = next(left, None)
    return hits
