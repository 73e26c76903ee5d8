"""Translates score thresholds from one space to another.

Each space has its own distribution of cosines: 0.6 may be close in one and far in another, so a
client that drops results below a threshold needs another threshold after a cutover. Thresholds are
translated by equal selectivity: of the pairs of a query and a document that were scored in both
spaces, as many score at least `new` in the new space as score at least `old` in the old one. This
is equipercentile linking, F_new^-1(F_old(old)), of two forms taken by the same group (Kolen and
Brennan, Test Equating, Scaling, and Linking), without smoothing.

It preserves how many results pass, not which ones: `disagreement` is the share that is decided
differently.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from migrations.reembed.verifying.report import Point, Translation
from migrations.reembed.verifying.side import ComparedSide, Vector

Scores = NDArray[np.float64]

POINTS = 9
# Most of the error is the spread between queries; fewer queries say little about it.
MIN_QUERIES = 10
_RESAMPLES = 200
_SPLITS = 20


@dataclass(frozen=True, eq=False)
class ScorePairs:
    """Scores of the same pairs in both spaces, each of shape (pairs,).

    `query` is the number of a pair's query; `in_old`: the old space lists the document.
    """

    query: NDArray[np.int64]
    old: Scores
    new: Scores
    in_old: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ScoreMapping:
    """A non-decreasing mapping, linear between its points and constant outside them."""

    old: Scores
    new: Scores

    def __call__(self, thresholds: Scores) -> Scores:
        translated: Scores = np.interp(thresholds, self.old, self.new)
        return translated


def map_scores(old: Scores, new: Scores) -> ScoreMapping:
    """Map by equal ranks: the k-th largest old score to the k-th largest new score."""
    distinct, positions = np.unique(np.sort(old), return_inverse=True)
    # Equal old scores have several ranks: map them to the mean of their new scores.
    means = np.bincount(positions, weights=np.sort(new)) / np.bincount(positions)
    return ScoreMapping(distinct, means)


def translate(pairs: ScorePairs, seed: int) -> Translation | None:
    """Translate POINTS thresholds, from the 5 % to the 95 % quantile of the old space's results.

    None with fewer than MIN_QUERIES queries. The same `seed` gives the same figures.
    """
    positions = _by_query(pairs)
    if len(positions) < MIN_QUERIES or not pairs.in_old.any():
        return None
    rng = np.random.default_rng(seed)
    thresholds = np.quantile(pairs.old[pairs.in_old], np.linspace(0.05, 0.95, POINTS))
    translated = map_scores(pairs.old, pairs.new)(thresholds)
    errors = _errors(pairs, positions, thresholds, rng)
    return Translation(
        pairs=len(pairs.old),
        points=[
            Point(old=float(old), new=float(new), error=float(error))
            for old, new, error in zip(thresholds, translated, errors, strict=True)
        ],
        disagreement=_disagreement(pairs, positions, thresholds, rng),
    )


def _by_query(pairs: ScorePairs) -> list[NDArray[np.int64]]:
    """Positions of each query's pairs: they are alike, so resampling draws whole queries."""
    order = np.argsort(pairs.query, kind="stable")
    _, starts = np.unique(pairs.query[order], return_index=True)
    return np.split(order, starts[1:]) if len(order) else []


def _errors(
    pairs: ScorePairs,
    positions: list[NDArray[np.int64]],
    thresholds: Scores,
    rng: np.random.Generator,
) -> Scores:
    """The standard deviation of each translation over queries resampled with replacement."""
    translations = np.empty((_RESAMPLES, len(thresholds)))
    for row in translations:
        queries = rng.integers(len(positions), size=len(positions))
        resampled = np.concatenate([positions[no] for no in queries])
        row[:] = map_scores(pairs.old[resampled], pairs.new[resampled])(thresholds)
    deviations: Scores = translations.std(axis=0, ddof=1)
    return deviations


def _disagreement(
    pairs: ScorePairs,
    positions: list[NDArray[np.int64]],
    thresholds: Scores,
    rng: np.random.Generator,
) -> float:
    """Of pairs above either threshold, the share above only one; mapped by other queries."""
    shares = []
    for _ in range(_SPLITS):
        order = rng.permutation(len(positions))
        half = len(order) // 2
        fitted, held_out = (
            np.concatenate([positions[no] for no in part]) for part in (order[:half], order[half:])
        )
        translated = map_scores(pairs.old[fitted], pairs.new[fitted])(thresholds)
        by_old = pairs.old[held_out][:, None] >= thresholds
        by_new = pairs.new[held_out][:, None] >= translated
        either = int((by_old | by_new).sum())
        shares.append(int((by_old ^ by_new).sum()) / either if either else 0.0)
    return float(np.mean(shares))


# Deep enough to include documents that one space ranks high and the other low.
_DEPTH = 50


async def score_pairs(
    old: ComparedSide, new: ComparedSide, queries: Sequence[tuple[Vector, Vector]]
) -> ScorePairs:
    """Pairs from the union of both spaces' nearest; `queries` are (old, new) vectors."""
    rows: list[tuple[int, float, float, bool]] = []
    for no, (old_vector, new_vector) in enumerate(queries):
        in_old = {hit.doc_key: hit.score for hit in await old.nearest(old_vector, _DEPTH)}
        in_new = {hit.doc_key: hit.score for hit in await new.nearest(new_vector, _DEPTH)}
        # A document that only one space lists has a score in the other, too.
        by_old = in_old | await old.scores(old_vector, in_new.keys() - in_old.keys())
        by_new = in_new | await new.scores(new_vector, in_old.keys() - in_new.keys())
        rows += [
            (no, by_old[key], by_new[key], key in in_old)
            for key in sorted(by_old.keys() & by_new.keys())
        ]
    return ScorePairs(
        query=np.array([row[0] for row in rows], np.int64),
        old=np.array([row[1] for row in rows], np.float64),
        new=np.array([row[2] for row in rows], np.float64),
        in_old=np.array([row[3] for row in rows], np.bool_),
    )
