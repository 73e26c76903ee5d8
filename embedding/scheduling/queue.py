"""Which texts an encoder takes next: classes with ageing, batches of like lengths."""

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
    """Queries go before all; writes before a backfill, until that has waited long enough."""

    QUERY = 0
    WRITE = 1
    BACKFILL = 2


# Seconds that a class stands back behind others that came later. A backfill that waits behind
# writes without end still gets its turn: re-embed migrations have to come to an end.
_STANDS_BACK_S = {Urgency.QUERY: -math.inf, Urgency.WRITE: 0.0, Urgency.BACKFILL: 2.0}

# Behind a query others come within this time; batches beside them are a quarter of the usual.
_QUERIES_COME_S = 1.0
_PART_BESIDE_QUERIES = 4


class EncodeJob:
    """The rows of one call. `vectors` is (rows, dimensions), NaN where `failures` says why.

    `done` is called once, from an encoder's thread, when nothing of it is left to wait for.
    """

    def __init__(
        self,
        rows: encoder.Rows,
        dimensions: int,
        done: Callable[["EncodeJob"], None],
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
        self._done = done

    @property
    def is_done(self) -> bool:
        return self._left == 0

    def take(self, place: int, vector: encoder.Vectors) -> None:
        """One row is encoded."""
        self.vectors[place] = vector
        self._count()

    def refuse(self, place: int, reason: str) -> None:
        """One row has no vector."""
        self.failures[place] = reason
        self._count()

    def fail(self, error: errors.EmbeddingError) -> None:
        """All of it has failed; later calls change nothing."""
        if self._left:
            self.error, self._left = error, 0
            self._done(self)

    def _count(self) -> None:
        if self._left:
            self._left -= 1
            if self._left == 0:
                self._done(self)


@dataclass(frozen=True, eq=False)
class EncoderBatch:
    """Rows of any number of jobs that are encoded together."""

    rows: list[tuple[EncodeJob, int]]
    pooled_from: int

    @property
    def ids(self) -> encoder.Rows:
        return [job.rows[place] for job, place in self.rows]

    @property
    def tokens(self) -> int:
        return sum(len(job.rows[place]) for job, place in self.rows)

    @property
    def jobs(self) -> set[EncodeJob]:
        return {job for job, _ in self.rows}


# How rows are kept in order: (pooled_from, tokens, number of the job, place in the job).
_Key = tuple[int, int, int, int]


class _Class:
    """The waiting rows of one urgency, by length, and their jobs, by arrival."""

    def __init__(self) -> None:
        self.rows: list[_Key] = []
        self.jobs: dict[int, EncodeJob] = {}
        self.arrived: dict[int, float] = {}
        self.left: dict[int, list[_Key]] = {}

    def add(self, number: int, job: EncodeJob, now: float) -> None:
        keys = sorted(
            (job.pooled_from, len(row), number, place) for place, row in enumerate(job.rows)
        )
        self.jobs[number], self.arrived[number], self.left[number] = job, now, keys
        self.rows = sorted(self.rows + keys)

    def remove(self, number: int) -> None:
        gone = set(self.left.pop(number))
        self.rows = [key for key in self.rows if key not in gone]
        del self.jobs[number], self.arrived[number]

    def oldest(self) -> float:
        return next(iter(self.arrived.values()))

    def take(self, budget: Callable[[int], int]) -> EncoderBatch:
        """The longest row of the oldest job, with the rows next to it in length."""
        number = next(iter(self.jobs))
        head = self.left[number][-1]
        pooled_from, tokens, *_ = head
        padded = encoder.padded_length(tokens)
        most = budget(padded)
        # A row half as long would be more padding than text: it makes a batch with its like.
        least = min(tokens, padded // 2 + 1)
        first = bisect.bisect_left(self.rows, (pooled_from, least, 0, 0))
        last = bisect.bisect_left(self.rows, (pooled_from, padded + 1, 0, 0))
        # Downwards first: there are the other rows of the job, which has waited longest.
        start = max(first, bisect.bisect_left(self.rows, head) + 1 - most)
        keys = self.rows[start : min(last, start + most)]
        del self.rows[start : start + len(keys)]
        return EncoderBatch(list(self._leave(keys)), pooled_from)

    def _leave(self, keys: Sequence[_Key]) -> Iterator[tuple[EncodeJob, int]]:
        for key in keys:
            _, _, number, place = key
            yield self.jobs[number], place
            left = self.left[number]
            del left[bisect.bisect_left(left, key)]
            if not left:
                del self.jobs[number], self.arrived[number], self.left[number]


class WorkQueue:
    """Jobs that wait for one encoder. One thread at a time.

    A batch has at most `max_rows` rows and `batch_tokens` tokens, padding included; a longer row
    goes alone. Where queries `share` the encoder, batches are smaller while such come, since one
    that is under way has to be waited for.
    """

    def __init__(
        self,
        *,
        batch_tokens: int,
        max_rows: int,
        share: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.batch_tokens = batch_tokens
        self.max_rows = max_rows
        self._share = share
        self._queried = -math.inf
        self._clock = clock
        self._classes = {urgency: _Class() for urgency in Urgency}
        self._numbers = iter(range(1 << 62))

    def __bool__(self) -> bool:
        return any(waiting.jobs for waiting in self._classes.values())

    def add(self, job: EncodeJob) -> None:
        now = self._clock()
        if job.urgency is Urgency.QUERY:
            self._queried = now
        self._classes[job.urgency].add(next(self._numbers), job, now)

    def drop(self, job: EncodeJob) -> None:
        """Forget what of a job still waits."""
        waiting = self._classes[job.urgency]
        for number in [number for number, one in waiting.jobs.items() if one is job]:
            waiting.remove(number)

    def take(self) -> EncoderBatch | None:
        waiting = [(urgency, one) for urgency, one in self._classes.items() if one.jobs]
        if not waiting:
            return None
        _, chosen = min(waiting, key=lambda pair: pair[1].oldest() + _STANDS_BACK_S[pair[0]])
        return chosen.take(self._budget)

    def drain(self) -> list[EncodeJob]:
        """All that waits, which then waits no longer."""
        jobs = [job for waiting in self._classes.values() for job in waiting.jobs.values()]
        self._classes = {urgency: _Class() for urgency in Urgency}
        return jobs

    def _budget(self, padded: int) -> int:
        queried = self._share and self._clock() - self._queried < _QUERIES_COME_S
        part = _PART_BESIDE_QUERIES if queried else 1
        return max(1, min(self.max_rows, self.batch_tokens // padded) // part)
