"""Runs the encode jobs of a model, and limits how much may wait for it."""

import asyncio
import collections
import math
from collections.abc import Callable

from embedding import errors
from embedding.encoders import encoder as encoding
from embedding.scheduling.queue import EncodeJob, EncoderBatch, Urgency, WorkQueue
from embedding.scheduling.threads import EncoderThreads

# How much of queries may wait: about a thousand of the usual length.
_QUERY_TOKENS = 16_384
# Tokens per second until something was measured: a small model on one slow CPU.
_FIRST_RATE = 5_000.0
_MAX_RETRY_S = 60


class Executor:
    """An encoder with its threads: those for bulk, and one for queries if it has them separate.

    `probe_row` is a row that it can encode. `admission` bounds what waits, `query_admission` what
    waits of queries, so that no amount of other texts keeps them out. Used from one event loop.
    """

    def __init__(
        self,
        encoder: encoding.Encoder,
        *,
        dimensions: int,
        probe_row: encoding.Row,
        capacity: int,
    ) -> None:
        self.admission = Admission(capacity)
        self.query_admission = Admission(_QUERY_TOKENS)
        self._encoder = encoder
        self._dimensions = dimensions
        self._probe_row = probe_row
        self._bulk = self._start_threads(
            "bulk", encoder.bulk, count=encoder.parallel_batches, max_rows=encoder.batch_rows
        )
        self._queries = self._bulk
        if encoder.separate_query:
            self._queries = self._start_threads("query", encoder.query, count=1, max_rows=1)

    @property
    def problem(self) -> str | None:
        """Why it can't encode; None if it can."""
        return self._bulk.problem or self._queries.problem

    @property
    def queries_idle(self) -> bool:
        return self._queries.idle

    async def run(self, rows: encoding.Rows, urgency: Urgency, *, pooled_from: int) -> EncodeJob:
        """Encode one or more rows; EncoderDied, EncoderFailed if no row of a batch can be."""
        loop = asyncio.get_running_loop()
        finished: asyncio.Future[None] = loop.create_future()

        def on_done(_: EncodeJob) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_resolve, finished)

        job = EncodeJob(rows, self._dimensions, on_done, urgency=urgency, pooled_from=pooled_from)
        threads = self._queries if urgency is Urgency.QUERY else self._bulk
        threads.submit(job)
        try:
            await finished
        except asyncio.CancelledError:
            threads.cancel(job)
            raise
        if job.error is not None:
            raise job.error
        return job

    def close(self) -> None:
        """Stop the threads and free the encoder; blocks until running batches are done."""
        self._bulk.close()
        self._queries.close()
        self._encoder.close()

    def _start_threads(
        self,
        name: str,
        run: Callable[[encoding.Rows, int], encoding.Vectors],
        *,
        count: int,
        max_rows: int,
    ) -> EncoderThreads:
        def probe() -> None:
            encoding.normalize(run([self._probe_row], 0))

        def encode(batch: EncoderBatch) -> tuple[list[encoding.Vectors], dict[int, str]]:
            vectors, failures = encoding.isolate(
                lambda rows: run(rows, batch.pooled_from), batch.ids
            )
            if failures:
                # A text that fails alone is to blame only if the encoder still works.
                probe()
            return vectors, failures

        queue = WorkQueue(
            batch_tokens=self._encoder.batch_tokens,
            max_rows=max_rows,
            shared=not self._encoder.separate_query,
        )
        return EncoderThreads(
            name, queue, encode, count=count, probe=probe, on_measured=self._record_rate
        )

    def _record_rate(self, batch: EncoderBatch, seconds: float) -> None:
        if any(job.urgency is not Urgency.QUERY for job in batch.jobs):
            self.admission.record_rate(batch.tokens, seconds, self._encoder.parallel_batches)


def _resolve(finished: "asyncio.Future[None]") -> None:
    if not finished.done():
        finished.set_result(None)


class Admission:
    """Bounds the tokens that wait for a model.

    Used from one event loop; only `record_rate` is called from any thread.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.waiting = 0
        self.rate = _FIRST_RATE
        self._waiters: collections.deque[tuple[asyncio.Future[None], int]] = collections.deque()

    def admit(self, tokens: int) -> None:
        """Raises TooMuch if it can never fit, Overloaded if it doesn't fit now."""
        if tokens > self.capacity:
            raise errors.TooMuch(tokens, self.capacity)
        if self._waiters or self.waiting + tokens > self.capacity:
            raise errors.Overloaded(self.retry_after_s(tokens))
        self.waiting += tokens

    def require_room(self) -> None:
        """Raises Overloaded if no more tokens are admitted now."""
        if self._waiters or self.waiting >= self.capacity:
            raise errors.Overloaded(self.retry_after_s(0))

    async def wait(self, tokens: int) -> None:
        """Admit any number of tokens as soon as there is some room, in the order of the calls."""
        if not self._waiters and self.waiting < self.capacity:
            self.waiting += tokens
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((turn, tokens))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was admitted at the same moment
                self.release(tokens)
            raise

    def correct(self, admitted: int, counted: int) -> None:
        """Replace the estimate that was admitted by the tokens counted since."""
        self.waiting += counted - admitted
        self._wake()

    def release(self, tokens: int) -> None:
        self.waiting -= tokens
        self._wake()

    def record_rate(self, tokens: int, seconds: float, parallel_batches: int) -> None:
        """A batch took this long, with `parallel_batches` running at once."""
        rate = parallel_batches * tokens / max(seconds, 1e-6)
        self.rate += 0.1 * (rate - self.rate)

    def retry_after_s(self, tokens: int) -> int:
        """Whole seconds until `tokens` should fit, at the measured rate."""
        excess = self.waiting + tokens - self.capacity
        return min(_MAX_RETRY_S, max(1, math.ceil(excess / self.rate)))

    def _wake(self) -> None:
        while self._waiters and self.waiting < self.capacity:
            turn, tokens = self._waiters.popleft()
            if not turn.done():
                self.waiting += tokens
                turn.set_result(None)
