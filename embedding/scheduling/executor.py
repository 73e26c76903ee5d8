import asyncio
import collections
import math
from collections.abc import Callable

from embedding import errors
from embedding.encoders import encoder
from embedding.scheduling.queue import EncodeJob, EncoderBatch, Urgency, WorkQueue
from embedding.scheduling.threads import EncoderThreads
from embedding.text import tokenizer

# Queries that wait at most; a thousand or so of the usual length.
_QUERY_TOKENS = 16_384


class Executor:
    """An encoder with its threads: one for queries where it has them apart, and those for bulk.

    `sound` is a row that it can encode. What waits is bounded by `admission`, queries by
    `query_admission`: no amount of other texts keeps them out. Used from one event loop.
    """

    def __init__(
        self, encodes: encoder.Encoder, *, dimensions: int, sound: tokenizer.Ids, capacity: int
    ) -> None:
        self.admission = Admission(capacity)
        self.query_admission = Admission(_QUERY_TOKENS)
        self._encoder = encodes
        self._dimensions = dimensions
        self._sound = sound
        self._bulk = self._lanes("bulk", encodes.bulk, encodes.lanes, encodes.batch_rows)
        self._queries = self._bulk
        if encodes.query_apart:
            self._queries = self._lanes("query", encodes.query, 1, 1)

    @property
    def problem(self) -> str | None:
        """What keeps it from encoding, None where all is well."""
        return self._bulk.problem or self._queries.problem

    @property
    def queries_idle(self) -> bool:
        return self._queries.idle

    async def run(self, rows: encoder.Rows, urgency: Urgency, *, pooled_from: int) -> EncodeJob:
        """Encode at least one row; EncoderDied, EncoderFailed where it fails at all of them."""
        loop = asyncio.get_running_loop()
        finished: asyncio.Future[None] = loop.create_future()

        def done(_: EncodeJob) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_resolve, finished)

        job = EncodeJob(rows, self._dimensions, done, urgency=urgency, pooled_from=pooled_from)
        lanes = self._queries if urgency is Urgency.QUERY else self._bulk
        lanes.submit(job)
        try:
            await finished
        except asyncio.CancelledError:
            lanes.cancel(job)
            raise
        if job.error is not None:
            raise job.error
        return job

    def close(self) -> None:
        """Stop the threads and free the encoder; blocks until running batches are done."""
        self._bulk.close()
        self._queries.close()
        self._encoder.close()

    def _lanes(
        self,
        name: str,
        run: Callable[[encoder.Rows, int], encoder.Vectors],
        count: int,
        max_rows: int,
    ) -> EncoderThreads:
        def probe() -> None:
            encoder.unit(run([self._sound], 0))

        def encode(batch: EncoderBatch) -> tuple[list[encoder.Vectors], dict[int, str]]:
            vectors, failures = encoder.isolate(
                lambda rows: run(rows, batch.pooled_from), batch.ids
            )
            if failures:
                # A text that fails alone is that text's failure only if the encoder still works.
                probe()
            return vectors, failures

        queue = WorkQueue(
            batch_tokens=self._encoder.batch_tokens,
            max_rows=max_rows,
            share=not self._encoder.query_apart,
        )
        return EncoderThreads(
            name, queue, encode, count=count, probe=probe, measured=self._measured
        )

    def _measured(self, batch: EncoderBatch, seconds: float) -> None:
        if any(job.urgency is not Urgency.QUERY for job in batch.jobs):
            self.admission.measured(batch.tokens, seconds, self._encoder.lanes)


def _resolve(finished: "asyncio.Future[None]") -> None:
    if not finished.done():
        finished.set_result(None)


# Before anything was measured: what a small model does on one slow CPU.
_FIRST_RATE = 5_000.0
_MOST_RETRY_S = 60


class Admission:
    """Bounds the tokens that wait for one model. Used from one event loop, `measured` from all."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.waiting = 0
        self.rate = _FIRST_RATE
        self._waiters: collections.deque[tuple[asyncio.Future[None], int]] = collections.deque()

    def admit(self, tokens: int) -> None:
        """Raises TooMuch for what can never fit, Overloaded for what doesn't fit now."""
        if tokens > self.capacity:
            raise errors.TooMuch(tokens, self.capacity)
        if self._waiters or self.waiting + tokens > self.capacity:
            raise errors.Overloaded(self.retry_after_s(tokens))
        self.waiting += tokens

    def require_room(self) -> None:
        """Raises Overloaded where nothing more is taken at present."""
        if self._waiters or self.waiting >= self.capacity:
            raise errors.Overloaded(self.retry_after_s(0))

    async def wait(self, tokens: int) -> None:
        """Take part as soon as there is room, in the order of the calls; of any size."""
        if not self._waiters and self.waiting < self.capacity:
            self.waiting += tokens
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((turn, tokens))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was let in at the same moment
                self.release(tokens)
            raise

    def correct(self, admitted: int, counted: int) -> None:
        """An estimate was admitted; now its tokens are counted."""
        self.waiting += counted - admitted
        self._wake()

    def release(self, tokens: int) -> None:
        self.waiting -= tokens
        self._wake()

    def measured(self, tokens: int, seconds: float, lanes: int) -> None:
        """One batch took this long on one of `lanes` that work side by side."""
        rate = lanes * tokens / max(seconds, 1e-6)
        self.rate += 0.1 * (rate - self.rate)

    def retry_after_s(self, tokens: int) -> int:
        """Whole seconds until `tokens` should fit, by the rate measured last."""
        over = self.waiting + tokens - self.capacity
        return min(_MOST_RETRY_S, max(1, math.ceil(over / self.rate)))

    def _wake(self) -> None:
        while self._waiters and self.waiting < self.capacity:
            turn, tokens = self._waiters.popleft()
            if not turn.done():
                self.waiting += tokens
                turn.set_result(None)
