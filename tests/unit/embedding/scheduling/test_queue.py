import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedding import errors
from embedding.encoders import encoder
from embedding.scheduling import queue as scheduling_queue
from embedding.scheduling.queue import EncodeJob, Urgency, WorkQueue


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def job(*lengths, urgency=Urgency.WRITE, pooled_from=0, on_done=lambda _: None):
    rows = [np.zeros(length, np.int32) for length in lengths]
    return EncodeJob(rows, 2, on_done, urgency=urgency, pooled_from=pooled_from)


def queue(clock=None, **settings):
    options = {"batch_tokens": 1024, "max_rows": 4, **settings}
    return WorkQueue(**options, clock=clock or Clock())


def taken(waiting):
    """All batches, as lists of (job, row)."""
    batches = []
    while (batch := waiting.take()) is not None:
        batches.append(batch.rows)
    return batches


LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=12)


@given(st.lists(st.tuples(LENGTHS, st.sampled_from(Urgency), st.integers(0, 2)), max_size=8))
def test_every_row_is_taken_once_within_the_budget(wanted):
    waiting = queue()
    jobs = [job(*lengths, urgency=kind, pooled_from=start) for lengths, kind, start in wanted]
    for added in jobs:
        waiting.add(added)
    batches = taken(waiting)
    found = [(one, place) for batch in batches for one, place in batch]
    assert len(found) == len(set(found)) == sum(len(one.rows) for one in jobs)
    for batch in batches:
        longest = max(len(one.rows[place]) for one, place in batch)
        padded = len(batch) * encoder.padded_length(longest)
        assert len(batch) == 1 or (len(batch) <= 4 and padded <= 1024)
        assert len({(one.urgency, one.pooled_from) for one, _ in batch}) == 1
        shortest = min(len(one.rows[place]) for one, place in batch)
        assert 2 * shortest > longest or longest <= encoder.LENGTH_STEP
    assert not waiting


def test_rows_of_similar_lengths_are_batched_across_requests():
    waiting = queue()
    first, second = job(10, 200), job(9, 198)
    waiting.add(first)
    waiting.add(second)
    assert [set(batch) for batch in taken(waiting)] == [
        {(first, 1), (second, 1)},
        {(first, 0), (second, 0)},
    ]


def test_the_oldest_request_is_in_every_batch_until_it_is_done():
    waiting = queue(max_rows=2)
    first, second = job(10, 11, 12), job(*[300] * 6)
    waiting.add(first)
    waiting.add(second)
    batches = taken(waiting)
    assert all(any(one is first for one, _ in batch) for batch in batches[:2])
    assert all(one is second for batch in batches[2:] for one, _ in batch)


def test_requests_of_like_texts_are_done_in_their_order():
    waiting = queue()
    jobs = [job(*[64] * 10) for _ in range(3)]
    for added in jobs:
        waiting.add(added)
    order = [jobs.index(one) for batch in taken(waiting) for one, _ in batch]
    assert order[:8] == [0] * 8
    assert order[-8:] == [2] * 8


def test_queries_go_first_then_writes_and_a_backfill_in_its_turn():
    clock = Clock()
    waiting = queue(clock, max_rows=1)
    kinds = {}
    for second, kind in enumerate([Urgency.BACKFILL, *[Urgency.WRITE] * 4, Urgency.QUERY]):
        clock.now = float(second)
        one = job(5, urgency=kind)
        kinds[one] = (kind.name, second)
        waiting.add(one)
    order = [kinds[batch[0][0]] for batch in taken(waiting)]
    # The backfill came at 0 and stands back for 2 s: then it has its turn.
    assert order == [
        ("QUERY", 5),
        ("WRITE", 1),
        ("WRITE", 2),
        ("BACKFILL", 0),
        ("WRITE", 3),
        ("WRITE", 4),
    ]


def test_what_is_dropped_is_never_taken():
    waiting = queue()
    gone, stays = job(15, 16), job(15, 13)
    waiting.add(gone)
    waiting.add(stays)
    waiting.drop(gone)
    assert [{one for one, _ in batch} for batch in taken(waiting)] == [{stays}]


def test_batches_are_smaller_while_queries_share_the_encoder():
    clock = Clock()
    waiting = queue(clock, max_rows=8, shared=True)
    waiting.add(job(*[5] * 10))
    waiting.add(job(5, urgency=Urgency.QUERY))
    assert [len(waiting.take().rows) for _ in range(2)] == [1, 2]
    clock.now = 10.0
    assert len(waiting.take().rows) == 8


def test_a_job_is_done_once_with_all_its_rows():
    finished: list[EncodeJob] = []
    one = job(3, 3, on_done=finished.append)
    one.set_vector(1, np.array([0.0, 1.0], np.float32))
    assert finished == []
    one.set_failure(0, "poison")
    one.fail(errors.EncoderFailed("too late"))
    assert (finished, one.error, one.failures) == ([one], None, {0: "poison"})
    assert np.isnan(one.vectors[0]).all()
    assert one.vectors[1].tolist() == [0.0, 1.0]


def test_a_failure_ends_a_job_at_once():
    finished: list[EncodeJob] = []
    one = job(3, 3, on_done=finished.append)
    one.fail(errors.EncoderDied("gone"))
    one.set_vector(0, np.ones(2, np.float32))
    assert finished == [one]
    assert isinstance(one.error, errors.EncoderDied)


@pytest.mark.parametrize("urgency", list(scheduling_queue.Urgency))
def test_nothing_is_left_after_a_drain(urgency):
    waiting = queue()
    one = job(4, urgency=urgency)
    waiting.add(one)
    assert waiting.drain() == [one]
    assert waiting.take() is None
