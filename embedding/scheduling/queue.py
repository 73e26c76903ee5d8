"""Which texts an encoder takes next: by urgency with ageing, in batches of similar lengths."""

import bisect
import enum
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from embedding import errors
from embedding.encoders import encoder


class Urgency(enum.IntEnum):
    """Queries come first; writes come before a backfill that hasn't waited long."""

    QUERY = 0
    WRITE = 1
    BACKFILL = 2


# How many seconds later a class counts as having arrived. A backfill gets its turn even beside
# endless writes: re-embed migrations have to come to an end.
_HANDICAP_S = {Urgency.QUERY: -math.inf, Urgency.WRITE: 0.0, Urgency.BACKFILL: 2.0}

# For this long after a query more are expected; batches are then a quarter of their usual size.
_MORE_QUERIES_S = 1.0
_DIVISOR_BESIDE_QUERIES = 4


class EncodeJob:
    """The rows of one call. `vectors` is (rows, dimensions); a row with a failure is NaN.

    `on_done` is called once, from an encoder's thread, when no row is left to wait for.
    """

    def __init__(
        self,
        rows: encoder.Rows,
        dimensions: int,
        on_done: Callable[["EncodeJob"], None],
        *,
        urgency: Urgency = Urgency.WRITE,
        pooled_from: int = 0,
    ) -> None:
        self.rows = rows
        self.urgency = urgency
        self.pooled_from = pooled_from
        self.vectors = np.full((len(rows), dimensions), np.nan, np.float32)
        self.failures: dict[int, str] = {}
        self.error: errors.EmbeddingError | None = None
        self._left = len(rows)
        self._on_done = on_done

    @property
    def is_done(self) -> bool:
        return self._left == 0

    def set_vector(self, row: int, vector: encoder.Vectors) -> None:
        self.vectors[row] = vector
        self._count_down()

    def set_failure(self, row: int, reason: str) -> None:
        """The row gets no vector."""
        self.failures[row] = reason
        self._count_down()

    def fail(self, error: errors.EmbeddingError) -> None:
        """Fail the job as a whole; later calls change nothing."""
        if self._left:
            self.error, self._left = error, 0
            self._on_done(self)

    def _count_down(self) -> None:
        if self._left:
            self._left -= 1
            if self._left == 0:
                self._on_done(self)


@dataclass(frozen=True, eq=False)
class EncoderBatch:
    """Rows of any number of jobs that are encoded together: (job, number of its row)."""

    rows: list[tuple[EncodeJob, int]]
    pooled_from: int

    @property
    def ids(self) -> encoder.Rows:
        return [job.rows[row] for job, row in self.rows]

    @property
    def tokens(self) -> int:
        return sum(len(job.rows[row]) for job, row in self.rows)

    @property
    def jobs(self) -> set[EncodeJob]:
        return {job for job, _ in self.rows}


# The order in which rows are kept: (pooled_from, tokens, number of the job, row of the job).
_Key = tuple[int, int, int, int]


class _WaitingJobs:
    """The waiting rows of one urgency, by length, and their jobs, by arrival."""

    def __init__(self) -> None:
        self.rows: list[_Key] = []
        self.jobs: dict[int, EncodeJob] = {}
        self.arrived: dict[int, float] = {}
        self.left: dict[int, list[_Key]] = {}

    def add(self, number: int, job: EncodeJob, now: float) -> None:
        keys = sorted((job.pooled_from, len(ids), number, row) for row, ids in enumerate(job.rows))
        self.jobs[number], self.arrived[number], self.left[number] = job, now, keys
        self.rows = sorted(self.rows + keys)

    def remove(self, number: int) -> None:
        removed = set(self.left.pop(number))
        self.rows = [key for key in self.rows if key not in removed]
        del self.jobs[number], self.arrived[number]

    def oldest_arrival(self) -> float:
        return next(iter(self.arrived.values()))

    def take(self, budget: Callable[[int], int]) -> EncoderBatch:
        """The longest row of the oldest job, with rows of similar length."""
        number = next(iter(self.jobs))
        head = self.left[number][-1]
        pooled_from, tokens, *_ = head
        padded = encoder.padded_length(tokens)
        max_rows = budget(padded)
        # A row half as long would be more padding than text: it waits for a batch of shorter rows.
        shortest = min(tokens, padded // 2 + 1)
        first = bisect.bisect_left(self.rows, (pooled_from, shortest, 0, 0))
        last = bisect.bisect_left(self.rows, (pooled_from, padded + 1, 0, 0))
        # Shorter rows first: among them are the other rows of this job, which has waited longest.
        start = max(first, bisect.bisect_left(self.rows, head) + 1 - max_rows)
        keys = self.rows[start : min(last, start + max_rows)]
        del self.rows[start : start + len(keys)]
        return EncoderBatch(list(self._pop(keys)), pooled_from)

    def _pop(self, keys: Sequence[_Key]) -> Iterator[tuple[EncodeJob, int]]:
        for key in keys:
            _, _, number, row = key
            yield self.jobs[number], row
            left = self.left[number]
            del left[bisect.bisect_left(left, key)]
            if not left:
                del self.jobs[number], self.arrived[number], self.left[number]


class WorkQueue:
    """Jobs that wait for one encoder. Not thread-safe: its users lock it.

    A batch has at most `max_rows` rows and `batch_tokens` tokens, padding included; a longer row
    is encoded alone. `shared`: queries use the same encoder and have to wait for the running
    batch, so batches are smaller while queries keep coming.
    """

    def __init__(
        self,
        *,
        batch_tokens: int,
        max_rows: int,
        shared: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.batch_tokens = batch_tokens
        self.max_rows = max_rows
        self._shared = shared
        self._last_query = -math.inf
        self._clock = clock
        self._classes = {urgency: _WaitingJobs() for urgency in Urgency}
        self._numbers = iter(range(1 << 62))

    def __bool__(self) -> bool:
        return any(waiting.jobs for waiting in self._classes.values())

    def add(self, job: EncodeJob) -> None:
        now = self._clock()
        if job.urgency is Urgency.QUERY:
            self._last_query = now
        self._classes[job.urgency].add(next(self._numbers), job, now)

    def drop(self, job: EncodeJob) -> None:
        """Forget the rows of a job that still wait."""
        waiting = self._classes[job.urgency]
        for number in [number for number, other in waiting.jobs.items() if other is job]:
            waiting.remove(number)

    def take(self) -> EncoderBatch | None:
        starts = {
            urgency: waiting.oldest_arrival() + _HANDICAP_S[urgency]
            for urgency, waiting in self._classes.items()
            if waiting.jobs
        }
        if not starts:
            return None
        first = min(starts, key=starts.__getitem__)
        return self._classes[first].take(self._max_rows)

    def drain(self) -> list[EncodeJob]:
        """Remove all waiting jobs and return them."""
        jobs = [job for waiting in self._classes.values() for job in waiting.jobs.values()]
        self._classes = {urgency: _WaitingJobs() for urgency in Urgency}
        return jobs

    def _max_rows(self, padded: int) -> int:
        beside_queries = self._shared and self._clock() - self._last_query < _MORE_QUERIES_S
        divisor = _DIVISOR_BESIDE_QUERIES if beside_queries else 1
        return max(1, min(self.max_rows, self.batch_tokens // padded) // divisor)
