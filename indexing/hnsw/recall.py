"""Recall: the share of the exact nearest neighbours that an HNSW search finds."""

from collections.abc import Sequence

# Equal texts have equal vectors; distances that differ by rounding alone are equal, too.
_ROUNDING = 1e-6


def recall(truth: Sequence[Sequence[float]], measured: Sequence[Sequence[float]]) -> float:
    """The share of the true neighbours for which an equally near row was found: 0 to 1.

    Each item holds the cosine distances of one query's k nearest rows: by an exact search (`truth`)
    and by the search that is measured (`measured`). Compared by distance, like ann-benchmarks
    (`get_recall_values`), not by id: of equally near rows, any will do, but none counts for a
    nearer one. 1 if there was nothing to find.
    """
    hits = sum(_hits(*pair) for pair in zip(truth, measured, strict=True))
    total = sum(map(len, truth))
    return hits / total if total else 1.0


def _hits(truth: Sequence[float], measured: Sequence[float]) -> int:
    """Pairs of equal distances, each distance used once."""
    hits = 0
    left = iter(sorted(measured))
    distance = next(left, None)
    for true_distance in sorted(truth):
        while distance is not None and distance < true_distance - _ROUNDING:
            distance = next(left, None)
        if distance is not None and distance <= true_distance + _ROUNDING:
            hits += 1
            distance = next(left, None)
    return hits
