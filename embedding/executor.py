import asyncio
from collections.abc import Callable

from embedding import encoder, tokenizing
from embedding.admission import Admission
from embedding.lanes import Lanes
from embedding.scheduler import Batch, Job, Queue, Urgency

# Queries that wait at most; a thousand or so of the usual length.
_QUERY_TOKENS = 16_384


class Executor:
    """An encoder with its threads: one for queries where it has them apart, and those for bulk.

    `sound` is a row that it can encode. What waits is bounded by `admission`, queries by
    `query_admission`: no amount of other texts keeps them out. Used from one event loop.
    """

    def __init__(
        self, encodes: encoder.Encoder, *, dimensions: int, sound: tokenizing.Ids, capacity: int
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

    async def run(self, rows: encoder.Rows, urgency: Urgency, *, pooled_from: int) -> Job:
        """Encode at least one row; EncoderDied, EncoderFailed where it fails at all of them."""
        loop = asyncio.get_running_loop()
        finished: asyncio.Future[None] = loop.create_future()

        def done(_: Job) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_resolve, finished)

        job = Job(rows, self._dimensions, done, urgency=urgency, pooled_from=pooled_from)
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
    ) -> Lanes:
        def probe() -> None:
            encoder.unit(run([self._sound], 0))

        def encode(batch: Batch) -> tuple[list[encoder.Vectors], dict[int, str]]:
            vectors, failures = encoder.isolate(
                lambda rows: run(rows, batch.pooled_from), batch.ids
            )
            if failures:
                # A text that fails alone is that text's failure only if the encoder still works.
                probe()
            return vectors, failures

        queue = Queue(
            batch_tokens=self._encoder.batch_tokens,
            max_rows=max_rows,
            share=not self._encoder.query_apart,
        )
        return Lanes(name, queue, encode, count=count, probe=probe, measured=self._measured)

    def _measured(self, batch: Batch, seconds: float) -> None:
        if any(job.urgency is not Urgency.QUERY for job in batch.jobs):
            self.admission.measured(batch.tokens, seconds, self._encoder.lanes)


def _resolve(finished: "asyncio.Future[None]") -> None:
    if not finished.done():
        finished.set_result(None)
