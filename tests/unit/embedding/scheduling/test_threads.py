"""The threads themselves, over an encoder that does what the first token of a row says."""

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from embedding import errors
from embedding.scheduling.queue import EncodeJob, WorkQueue
from embedding.scheduling.threads import EncoderThreads
from tests.waiting import until

SOUND, EXIT, FAIL, HOLD = range(4)


class Encoder:
    """Vectors are (first token, rows of the batch); `broken` also fails the probe."""

    def __init__(self) -> None:
        self.broken = False
        self.holding = threading.Event()
        self.go_on = threading.Event()

    def encode(self, batch):
        first = {int(row[0]) for row in batch.ids}
        if HOLD in first:
            self.holding.set()
            assert self.go_on.wait(30)
        if EXIT in first:
            raise SystemExit("gone")
        if FAIL in first:
            raise RuntimeError("no memory")
        return [np.array([row[0], len(batch.rows)], np.float32) for row in batch.ids], {}

    def probe(self):
        if self.broken:
            raise errors.EncoderFailed("still broken")


class Waited:
    """A job, and a way to wait for its end."""

    def __init__(self, *firsts: int) -> None:
        self.ended = threading.Event()
        rows = [np.array([first], np.int32) for first in firsts]
        self.job = EncodeJob(rows, 2, lambda _: self.ended.set())

    def wait(self) -> EncodeJob:
        assert self.ended.wait(30)
        return self.job


@pytest.fixture
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture
def start(encoder: Encoder) -> Iterator[Callable[[int], EncoderThreads]]:
    """Starts threads over one queue; they are closed after the test."""
    started: list[EncoderThreads] = []

    def start_threads(count: int) -> EncoderThreads:
        queue = WorkQueue(batch_tokens=64, max_rows=2)
        started.append(
            EncoderThreads(
                "test",
                queue,
                encoder.encode,
                count=count,
                probe=encoder.probe,
                on_measured=lambda _batch, _seconds: None,
            )
        )
        return started[-1]

    yield start_threads
    encoder.broken = False
    encoder.go_on.set()
    for threads in started:
        threads.close()


def encoded(threads: EncoderThreads, *firsts: int) -> EncodeJob:
    waited = Waited(*firsts)
    threads.submit(waited.job)
    return waited.wait()


@pytest.mark.parametrize("count", [1, 2])
def test_rows_are_encoded_in_batches(start, count):
    threads = start(count)
    job = encoded(threads, *[SOUND] * 5)
    assert job.error is None
    assert sorted(job.vectors[:, 1]) == [1, 2, 2, 2, 2]
    assert threads.problem is None


def test_an_encoder_that_fails_at_a_batch_continues(start):
    threads = start(1)
    job = encoded(threads, FAIL, FAIL, FAIL)
    assert str(job.error) == "RuntimeError: no memory"
    assert encoded(threads, SOUND).error is None
    assert threads.problem is None


def test_the_only_thread_ends_and_is_started_again(start, encoder):
    threads = start(1)
    held, waiting = Waited(HOLD, EXIT), Waited(SOUND)
    threads.submit(held.job)
    assert encoder.holding.wait(30)
    threads.submit(waiting.job)
    encoder.broken = True
    encoder.go_on.set()
    assert isinstance(held.wait().error, errors.EncoderDied)
    assert isinstance(waiting.wait().error, errors.EncoderDied)
    until(lambda: "still broken" in (threads.problem or ""))
    with pytest.raises(errors.EncoderDied, match="try again"):
        threads.submit(Waited(SOUND).job)
    encoder.broken = False
    until(lambda: threads.problem is None)
    assert encoded(threads, *[SOUND] * 8).error is None


def test_one_thread_of_two_ends_and_the_other_continues(start, encoder):
    threads = start(2)
    held = Waited(HOLD)
    threads.submit(held.job)
    assert encoder.holding.wait(30)
    encoder.broken = True
    assert isinstance(encoded(threads, EXIT).error, errors.EncoderDied)
    assert isinstance(held.wait().error, errors.EncoderDied)
    encoder.go_on.set()
    assert encoded(threads, *[SOUND] * 8).error is None
    assert threads.problem is not None
    encoder.broken = False
    until(lambda: threads.problem is None)


def test_a_cancelled_job_is_not_encoded(start, encoder):
    threads = start(1)
    held, gone = Waited(HOLD), Waited(*[SOUND] * 6)
    threads.submit(held.job)
    assert encoder.holding.wait(30)
    threads.submit(gone.job)
    threads.cancel(gone.job)
    encoder.go_on.set()
    held.wait()
    assert encoded(threads, SOUND).error is None
    assert np.isnan(gone.job.vectors).all()


def test_closing_fails_what_waits(start, encoder):
    threads = start(1)
    held, waiting = Waited(HOLD), Waited(SOUND)
    threads.submit(held.job)
    assert encoder.holding.wait(30)
    threads.submit(waiting.job)
    closing = threading.Thread(target=threads.close)
    closing.start()
    assert isinstance(waiting.wait().error, errors.EncoderDied)
    encoder.go_on.set()
    closing.join(30)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("test-")]
    with pytest.raises(errors.EncoderDied, match="closed"):
        threads.submit(Waited(SOUND).job)
