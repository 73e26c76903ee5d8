import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from embedding.encoders import encoder

LENGTHS = st.lists(st.integers(1, 600), max_size=80)


@given(LENGTHS, st.integers(1, 5000), st.integers(1, 40))
def test_every_row_is_in_one_batch_within_the_budget(lengths, batch_tokens, max_rows):
    batches = encoder.plan_batches(lengths, batch_tokens=batch_tokens, max_rows=max_rows)
    assert sorted(no for batch in batches for no in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = encoder.padded_length(max(lengths[no] for no in batch))
        assert 1 <= len(batch) <= max_rows
        assert len(batch) == 1 or len(batch) * longest <= batch_tokens


@given(LENGTHS)
def test_batches_have_rows_of_similar_length_longest_first(lengths):
    batches = encoder.plan_batches(lengths, batch_tokens=2048, max_rows=16)
    ordered = [lengths[no] for batch in batches for no in batch]
    assert ordered == sorted(lengths, reverse=True)


def test_a_batch_is_filled_up_to_the_budget():
    batches = encoder.plan_batches([16] * 10, batch_tokens=64, max_rows=99)
    assert [len(batch) for batch in batches] == [4, 4, 2]


@given(st.lists(st.integers(1, 100), min_size=1, max_size=8), st.sampled_from([None, 50, 1000]))
def test_padding_preserves_rows_and_masks_the_rest(lengths, at_most):
    rows = [np.arange(1, length + 1, dtype=np.int32) for length in lengths]
    ids, mask = encoder.pad(rows, at_most=at_most)
    assert ids.shape == mask.shape == (len(rows), ids.shape[1])
    for no, row in enumerate(rows):
        assert ids[no][mask[no] == 1].tolist() == row.tolist()
        assert not ids[no, len(row) :].any()


def test_padding_never_exceeds_the_models_positions():
    ids, _ = encoder.pad([np.ones(500, np.int32)], at_most=510)
    assert ids.shape == (1, 510)
    ids, _ = encoder.pad([np.ones(5, np.int32)], at_most=510)
    assert ids.shape == (1, encoder.LENGTH_STEP)
