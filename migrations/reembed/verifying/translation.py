"""What a threshold of scores in one space is in another.

Each space spreads its cosines in its own way: 0.6 may be close in one and far in another, so a
client that drops results below a threshold needs another one after a cut-over. A threshold is
translated by equal selectivity: of the pairs of a query and a document that were scored in both
spaces, as many score at least `new` there as score at least `old` here. This is equipercentile
linking, F_new^-1(F_old(old)), of two forms taken by the same group (Kolen and Brennan, Test
Equating, Scaling, and Linking), without smoothing.

It keeps how many results pass, not which: how many are decided otherwise is `disagreement`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from migrations.reembed.verifying.report import Point, Translation
from migrations.reembed.verifying.side import ComparedSide, Vector

Scores = NDArray[np.float64]

POINTS = 9
# Fewer queries say next to nothing about the spread between queries, which is what errs.
MIN_QUERIES = 10
_RESAMPLES = 200
_SPLITS = 20


@dataclass(frozen=True, eq=False)
class ScorePairs:
    """Scores of the same pairs in both spaces, each of shape (pairs,).

    `query` is the number of a pair's query; `found`: the old space has the document in its list.
    """

    query: NDArray[np.int64]
    old: Scores
    new: Scores
    found: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ScoreMapping:
    """A mapping that never falls, linear between its points, constant outside them."""

    old: Scores
    new: Scores

    def __call__(self, thresholds: Scores) -> Scores:
        translated: Scores = np.interp(thresholds, self.old, self.new)
        return translated


def map_scores(old: Scores, new: Scores) -> ScoreMapping:
    """Equal ranks: the k-th greatest score here is the k-th greatest there."""
    known, places = np.unique(np.sort(old), return_inverse=True)
    # Equal scores here have several ranks: their mean keeps it a function.
    mean = np.bincount(places, weights=np.sort(new)) / np.bincount(places)
    return ScoreMapping(known, mean)


def translate(pairs: ScorePairs, seed: int) -> Translation | None:
    """At thresholds from the 5 % to the 95 % quantile of what the old space found.

    None where there are fewer than MIN_QUERIES queries. The same `seed` gives the same figures.
    """
    places = _by_query(pairs)
    if len(places) < MIN_QUERIES or not pairs.found.any():
        return None
    rng = np.random.default_rng(seed)
    thresholds = np.quantile(pairs.old[pairs.found], np.linspace(0.05, 0.95, POINTS))
    translated = map_scores(pairs.old, pairs.new)(thresholds)
    errors = _errors(pairs, places, thresholds, rng)
    return Translation(
        pairs=len(pairs.old),
        points=[
            Point(old=float(old), new=float(new), error=float(error))
            for old, new, error in zip(thresholds, translated, errors, strict=True)
        ],
        disagreement=_disagreement(pairs, places, thresholds, rng),
    )


def _by_query(pairs: ScorePairs) -> list[NDArray[np.int64]]:
    """Places of each query's pairs: they resemble each other, so queries are what is drawn."""
    order = np.argsort(pairs.query, kind="stable")
    _, starts = np.unique(pairs.query[order], return_index=True)
    return np.split(order, starts[1:]) if len(order) else []


def _errors(
    pairs: ScorePairs,
    places: list[NDArray[np.int64]],
    thresholds: Scores,
    rng: np.random.Generator,
) -> Scores:
    """The standard deviation of each translation over queries drawn again, with replacement."""
    drawn = np.empty((_RESAMPLES, len(thresholds)))
    for row in drawn:
        chosen = rng.integers(len(places), size=len(places))
        again = np.concatenate([places[no] for no in chosen])
        row[:] = map_scores(pairs.old[again], pairs.new[again])(thresholds)
    deviations: Scores = drawn.std(axis=0, ddof=1)
    return deviations


def _disagreement(
    pairs: ScorePairs,
    places: list[NDArray[np.int64]],
    thresholds: Scores,
    rng: np.random.Generator,
) -> float:
    """Of pairs above either threshold, those above one only; linked on other queries."""
    shares = []
    for _ in range(_SPLITS):
        order = rng.permutation(len(places))
        half = len(order) // 2
        fitted, held_out = (
            np.concatenate([places[no] for no in part]) for part in (order[:half], order[half:])
        )
        translated = map_scores(pairs.old[fitted], pairs.new[fitted])(thresholds)
        by_old = pairs.old[held_out][:, None] >= thresholds
        by_new = pairs.new[held_out][:, None] >= translated
        either = int((by_old | by_new).sum())
        shares.append(int((by_old ^ by_new).sum()) / either if either else 0.0)
    return float(np.mean(shares))


# Deep enough to see documents that one space ranks high and the other low.
_DEPTH = 50


async def score_pairs(
    old: ComparedSide, new: ComparedSide, queries: Sequence[tuple[Vector, Vector]]
) -> ScorePairs:
    """Of the union of both lists of the nearest; `queries` are (old, new) vectors."""
    rows: list[tuple[int, float, float, bool]] = []
    for no, (old_vector, new_vector) in enumerate(queries):
        found = {hit.doc_key: hit.score for hit in await old.nearest(old_vector, _DEPTH)}
        others = {hit.doc_key: hit.score for hit in await new.nearest(new_vector, _DEPTH)}
        # What only one of them lists has a score in the other all the same.
        by_old = found | await old.scores(old_vector, others.keys() - found.keys())
        by_new = others | await new.scores(new_vector, found.keys() - others.keys())
        rows += [
            (no, by_old[key], by_new[key], key in found)
            for key in sorted(by_old.keys() & by_new.keys())
        ]
    return ScorePairs(
        query=np.array([row[0] for row in rows], np.int64),
        old=np.array([row[1] for row in rows], np.float64),
        new=np.array([row[2] for row in rows], np.float64),
        found=np.array([row[3] for row in rows], np.bool_),
    )
