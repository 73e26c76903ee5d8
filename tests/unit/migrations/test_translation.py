"""Translation between invented spaces, for which the right answer is known."""

import dataclasses

import numpy as np
import pytest

from migrations.reembed.verifying import translation
from migrations.reembed.verifying.translation import ScorePairs

QUERIES, DEPTH = 100, 30


def pairs(new, queries: int = QUERIES, *, wander: float = 0.0) -> ScorePairs:
    """Old scores between 0.1 and 0.8; `new` maps them, moved by `wander` from query to query."""
    rng = np.random.default_rng(1)
    query = np.repeat(np.arange(queries), DEPTH)
    old = rng.beta(2, 3, len(query)) * 0.7 + 0.1
    moved = rng.normal(0, wander, queries)[query] if wander else 0.0
    return ScorePairs(query, old, new(old) + moved, np.ones(len(query), bool))


def noisy(scale: float) -> ScorePairs:
    rng = np.random.default_rng(2)
    return pairs(lambda old: old + rng.normal(0, scale, len(old)))


def translate(scores: ScorePairs):
    translated = translation.translate(scores, 0)
    assert translated is not None
    return translated


@pytest.mark.parametrize(
    "new", [lambda old: 0.5 + 0.4 * old, np.sqrt, lambda old: old**3], ids=["line", "root", "cube"]
)
def test_a_rising_transform_is_recovered_and_nothing_decided_otherwise(new):
    translated = translate(pairs(new))
    assert translated.pairs == QUERIES * DEPTH
    assert [point.new for point in translated.points] == pytest.approx(
        [new(point.old) for point in translated.points], abs=1e-3
    )
    assert max(point.error for point in translated.points) < 1e-3
    assert translated.disagreement < 0.005


def test_thresholds_go_from_the_5_to_the_95_percent_quantile_of_what_was_found():
    scores = pairs(np.sqrt)
    only_high = dataclasses.replace(scores, in_old=scores.old > 0.4)
    translated = translate(only_high)
    high = scores.old[scores.old > 0.4]
    assert len(translated.points) == 9
    assert translated.points[0].old == pytest.approx(np.quantile(high, 0.05))
    assert translated.points[-1].old == pytest.approx(np.quantile(high, 0.95))


def test_as_many_pairs_pass_the_new_threshold_even_for_unrelated_scores():
    rng = np.random.default_rng(3)
    scores = pairs(lambda old: rng.uniform(0.3, 0.9, len(old)))
    translated = translate(scores)
    for point in translated.points:
        passing = (scores.old >= point.old).sum()
        assert (scores.new >= point.new).sum() == pytest.approx(passing, abs=2)
    assert translated.disagreement > 0.4
    assert [point.new for point in translated.points] == sorted(
        point.new for point in translated.points
    )


def test_noise_between_pairs_shows_as_disagreement():
    shares = [translate(noisy(scale)).disagreement for scale in (0.01, 0.05, 0.2)]
    assert shares == sorted(shares)
    assert shares[0] < 0.08
    assert shares[2] > 0.3


def test_noise_between_queries_shows_as_error():
    """Pairs of one query move together: resampled one by one, the error would seem far smaller."""
    steady = translate(pairs(lambda old: old, wander=0.001))
    translated = translate(pairs(lambda old: old, wander=0.1))
    assert max(point.error for point in steady.points) < 0.01
    middle = translated.points[4].error
    # The mean of 100 queries wanders by 0.1 / 10, a quantile by about as much.
    assert 0.005 < middle < 0.03
    fewer = translate(pairs(lambda old: old, queries=20, wander=0.1))
    assert fewer.points[4].error > 1.5 * middle


def test_the_error_is_as_large_as_translations_of_other_queries_differ():
    rng = np.random.default_rng(5)
    thresholds = np.array([0.3, 0.4, 0.5])
    query = np.repeat(np.arange(QUERIES), DEPTH)
    estimated, observed = [], []
    for _ in range(30):
        old = rng.beta(2, 3, len(query)) * 0.7 + 0.1
        new = old + rng.normal(0, 0.1, QUERIES)[query]
        scores = ScorePairs(query, old, new, np.ones(len(query), bool))
        observed.append(translation.map_scores(old, new)(thresholds))
        points = translate(scores).points
        known, errors = [point.old for point in points], [point.error for point in points]
        estimated.append(np.interp(thresholds, known, errors))
    assert np.mean(estimated, axis=0) == pytest.approx(np.std(observed, axis=0), rel=0.35)


def test_disagreement_is_measured_on_held_out_queries():
    """Each query with its own offset: fitted on itself it would look better than it is."""
    scores = pairs(lambda old: old, queries=10, wander=0.3)
    mapping = translation.map_scores(scores.old, scores.new)
    thresholds = np.quantile(scores.old, np.linspace(0.05, 0.95, 9))
    by_old = scores.old[:, None] >= thresholds
    by_new = scores.new[:, None] >= mapping(thresholds)
    itself = (by_old ^ by_new).sum() / (by_old | by_new).sum()
    assert translate(scores).disagreement > itself


def test_equal_scores_are_one_threshold():
    old = np.array([0.5] * 50 + [0.6] * 50)
    new = np.array([0.7] * 50 + [0.9] * 50)
    mapping = translation.map_scores(old, new)
    assert mapping(np.array([0.5, 0.6])) == pytest.approx([0.7, 0.9])


def test_too_few_queries_say_nothing():
    assert translation.translate(pairs(np.sqrt, queries=9), 0) is None
    assert translation.translate(pairs(np.sqrt, queries=10), 0) is not None
    assert translation.translate(pairs(np.sqrt, queries=0), 0) is None


def test_the_same_seed_gives_the_same_figures():
    scores = noisy(0.05)
    assert translation.translate(scores, 7) == translation.translate(scores, 7)
    assert translation.translate(scores, 7) != translation.translate(scores, 8)
