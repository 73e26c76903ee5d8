import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedding import errors
from embedding.encoders import encoder


def rows(count):
    return [np.array([no], np.int32) for no in range(count)]


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
def test_halving_finds_every_poison_and_keeps_the_rest(case):
    count, poison = case

    def run(given):
        if any(int(row[0]) in poison for row in given):
            raise RuntimeError("no")
        return np.array([[1.0, float(row[0])] for row in given], np.float32)

    vectors, failures = encoder.isolate(run, rows(count))
    assert set(failures) == poison
    for no in set(range(count)) - poison:
        assert vectors[no][1] / vectors[no][0] == pytest.approx(no)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_a_row_without_a_direction_fails_alone(bad):
    def run(given):
        return np.array([[bad if row[0] == 5 else 3.0] for row in given], np.float32)

    vectors, failures = encoder.isolate(run, rows(8))
    assert list(failures) == [5]
    assert "EncoderFailed" in failures[5]
    assert vectors[0].tolist() == [1.0]


def test_vectors_get_exactly_unit_length():
    vectors = encoder.normalize(np.array([[3.0, 4.0], [0.0, 1e-3]], np.float32))
    assert vectors.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0.0, 1.0]]
    with pytest.raises(errors.EncoderFailed):
        encoder.normalize(np.array([[np.nan, 1.0]], np.float32))
