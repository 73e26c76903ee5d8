"""Recall by distance: what counts as found."""

from indexing.hnsw.recall import recall


def test_true_neighbours_that_were_found_count():
    assert recall([[0.1, 0.2]], [[0.1, 0.2]]) == 1
    assert recall([[0.1, 0.2]], [[0.1, 0.3]]) == 0.5
    assert recall([[0.1, 0.2], [0.5, 0.6]], [[0.1, 0.2], [0.6, 0.7]]) == 0.75


def test_of_equally_near_rows_any_will_do_also_up_to_rounding():
    assert recall([[0.2, 0.2]], [[0.2, 0.2 + 1e-8]]) == 1
    assert recall([[0.2, 0.2]], [[0.2, 0.2 + 1e-4]]) == 0.5


def test_a_row_does_not_stand_in_for_a_nearer_one():
    assert recall([[0.0, *[0.1] * 9]], [[0.1] * 10]) == 0.9
    assert recall([[0.0, 0.1, 0.2]], [[0.1, 0.2, 0.3]]) == 2 / 3


def test_rows_that_were_not_found_are_missed_and_none_count_twice():
    assert recall([[0.1, 0.2]], [[0.1]]) == 0.5
    assert recall([[0.1, 0.2]], [[0.1, 0.1, 0.2]]) == 1
    assert recall([[0.1], []], [[], [0.1]]) == 0


def test_nothing_is_missed_if_there_is_nothing_to_find():
    assert recall([[]], [[]]) == 1
    assert recall([], []) == 1
