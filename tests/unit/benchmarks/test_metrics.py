"""Quality measures and number formats."""

import math

import numpy as np
import pytest

from benchmarks import metrics


def test_ndcg_of_a_perfect_ranking_is_one():
    assert metrics.ndcg(["a", "b", "c"], {"a": 2, "b": 1}, 10) == pytest.approx(1.0)


def test_ndcg_discounts_by_rank():
    assert metrics.ndcg(["x", "a"], {"a": 1}, 10) == pytest.approx(1 / math.log2(3))


def test_ndcg_uses_the_relevance_as_gain():
    ideal = 3 + 1 / math.log2(3)
    assert metrics.ndcg(["b", "a"], {"a": 3, "b": 1}, 10) == pytest.approx(
        (1 + 3 / math.log2(3)) / ideal
    )


def test_ndcg_ignores_everything_after_k():
    assert metrics.ndcg(["x", "y", "a"], {"a": 1}, 2) == 0
    assert metrics.ndcg(["a", "b"], {"a": 1, "b": 1, "c": 1}, 2) == pytest.approx(1.0)


def test_ndcg_without_a_relevant_document_is_zero():
    assert metrics.ndcg(["a"], {"a": 0}, 10) == 0


def test_percentile_is_one_of_the_values():
    values = [float(value) for value in range(100, 0, -1)]
    assert metrics.percentile(values, 95) == 95
    assert metrics.percentile([7.0], 50) == 7


def test_cosines_compare_rows_at_the_same_position():
    vectors = np.array([[3, 0], [1, 1], [0, -2]], np.float32)
    expected = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert metrics.cosines(vectors, expected) == pytest.approx([1, 0.5**0.5, -1])


@pytest.mark.parametrize(
    ("values", "expected"), [([3.0], "one run, 3.000 to 3.000"), ([3, 1], "2 runs, 1.000 to 3.000")]
)
def test_runs_are_formatted_with_count_and_range(values, expected):
    assert metrics.format_runs(values) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (0.64517, "0.6452"), (55.83, "55.83"), (117659.4, "117,659"), (1173.2, "1,173")],
)
def test_numbers_are_formatted_with_four_digits(value, expected):
    assert metrics.format_number(value) == expected
