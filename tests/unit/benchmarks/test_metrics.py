import math

import numpy as np
import pytest

from benchmarks import metrics


def test_ndcg_of_a_perfect_ranking_is_one():
    assert metrics.ndcg(["a", "b", "c"], {"a": 2, "b": 1}, 10) == pytest.approx(1.0)


def test_ndcg_discounts_by_the_rank():
    assert metrics.ndcg(["x", "a"], {"a": 1}, 10) == pytest.approx(1 / math.log2(3))


def test_ndcg_takes_the_relevance_itself_as_gain():
    ideal = 3 + 1 / math.log2(3)
    assert metrics.ndcg(["b", "a"], {"a": 3, "b": 1}, 10) == pytest.approx(
        (1 + 3 / math.log2(3)) / ideal
    )


def test_ndcg_sees_nothing_past_k_in_the_ranking_and_in_the_ideal():
    assert metrics.ndcg(["x", "y", "a"], {"a": 1}, 2) == 0
    assert metrics.ndcg(["a", "b"], {"a": 1, "b": 1, "c": 1}, 2) == pytest.approx(1.0)


def test_ndcg_without_a_relevant_document_is_zero():
    assert metrics.ndcg(["a"], {"a": 0}, 10) == 0


def test_percentile_is_one_of_the_values():
    values = [float(value) for value in range(100, 0, -1)]
    assert metrics.percentile(values, 95) == 95
    assert metrics.percentile([7.0], 50) == 7


def test_cosines_are_of_each_row_with_its_like():
    found = np.array([[3, 0], [1, 1], [0, -2]], np.float32)
    truth = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert metrics.cosines(found, truth) == pytest.approx([1, 0.5**0.5, -1])


@pytest.mark.parametrize(
    ("values", "shown"), [([3.0], "one run, 3.000 to 3.000"), ([3, 1], "2 runs, 1.000 to 3.000")]
)
def test_runs_show_their_count_and_spread(values, shown):
    assert metrics.runs(values) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.64517, "0.6452"), (55.83, "55.83"), (117659.4, "117,659"), (1173.2, "1,173")],
)
def test_figures_show_four_digits(value, shown):
    assert metrics.figure(value) == shown
