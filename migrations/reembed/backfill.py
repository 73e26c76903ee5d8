"""The backfill: ranges of documents, embedded for the target by any number of workers."""

import asyncio
import contextlib
import dataclasses
import time
import uuid
from collections.abc import AsyncIterator, Sequence

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from embedding.scheduling.queue import Urgency
from indexing import catalog, retries
from indexing.documents import text_vectors
from indexing.documents.text_vectors import WrittenVectors
from indexing.models.loaded import Loaded
from indexing.models.pool import ModelPool
from migrations.reembed import errors, leadership
from migrations.reembed.migration import Migration
from migrations.reembed.throttle import Throttle
from storage import documents, fence, migration_ranges, pending
from storage import engine as database
from storage.indexes import IndexRow
from storage.migration_ranges import Range, SourceDocument

log = structlog.get_logger()

# Two batches are in flight: while one is written and the next is read, the other is encoded.
LANES = 2
# Read and cut into chunks at once, so that batches are made of texts of like length.
_WINDOW = 512
_WINDOW_BYTES = 1_000_000

Piece = tuple[SourceDocument, text_vectors.Cut]


@dataclasses.dataclass(frozen=True)
class _Run:
    """What all batches of one call share."""

    migration: Migration
    target: IndexRow
    loaded: Loaded
    throttle: Throttle


class Backfill:
    def __init__(self, engine: AsyncEngine, models: ModelPool, owner: str) -> None:
        self._engine = engine
        self._models = models
        self._owner = owner

    async def run(self, found: Migration, throttle: Throttle) -> bool:
        """Work on ranges until there is none to take; whether there was one.

        Raises ModelMissing, EmbeddingError; LeaseLost is told to nobody: another goes on there.
        """
        target = found.target_index
        with self._models.held(target) as loaded:
            run = _Run(found, target, loaded, throttle)
            async with asyncio.TaskGroup() as group:
                lanes = [group.create_task(self._lane(run), name="backfill") for _ in range(LANES)]
            return any(lane.result() for lane in lanes)

    async def _lane(self, run: _Run) -> bool:
        worked = False
        while not run.throttle.stopped:
            async with self._engine.begin() as conn:
                held = await migration_ranges.claim(
                    conn, run.migration.id, owner=self._owner, lease_s=leadership.LEASE_S
                )
            if held is None:
                break
            worked = True
            with contextlib.suppress(errors.LeaseLost):
                async with self._holding(held):
                    await self._range(run, held)
        return worked

    @contextlib.asynccontextmanager
    async def _holding(self, held: Range) -> AsyncIterator[None]:
        """Keep the lease while in the block; whatever ends it, another may take the range then."""

        async def renew(conn: AsyncConnection) -> bool:
            return await migration_ranges.renew(conn, held, leadership.LEASE_S)

        try:
            async with leadership.keep_lease(self._engine, renew):
                yield
        finally:
            with contextlib.suppress(*database.FAILURES):
                async with self._engine.begin() as conn:
                    await migration_ranges.release(conn, held)

    async def _range(self, run: _Run, held: Range) -> None:
        after = held.position
        if held.is_suspect and (window := await self._window(run, held, after)):
            await self._set_apart(run, window)
            after = window[-1].doc_key
            await self._advance(held, after)
        while window := await self._window(run, held, after):
            for batch in text_vectors.batches(await self._cut(run, window)):
                await self._batch(run, held, batch)
                if run.throttle.stopped:
                    return
            after = window[-1].doc_key
            await self._advance(held, after)
        await self._advance(held, None)

    async def _set_apart(self, run: _Run, window: Sequence[SourceDocument]) -> None:
        """Pending texts are leased one by one in the end, so the one that ends workers is found."""
        hashes = {one.doc_key: one.text_hash for one in window}

        async def work() -> None:
            async with self._engine.begin() as conn:
                await fence.enter(conn, run.migration.collection.id)
                present = await documents.lock(conn, list(hashes))
                same = {key: hash_ for key, hash_ in hashes.items() if present.get(key) == hash_}
                await pending.add(conn, run.target.id, same)

        await retries.writing(work)
        log.warning("range_set_apart", migration=str(run.migration.id), documents=len(window))

    async def _window(
        self, run: _Run, held: Range, after: uuid.UUID | None
    ) -> list[SourceDocument]:
        return await retries.read(
            self._engine,
            lambda conn: migration_ranges.next_documents(
                conn,
                held,
                collection_id=run.migration.collection.id,
                index_id=run.target.id,
                after=after,
                limit=_WINDOW,
                max_bytes=_WINDOW_BYTES,
            ),
        )

    async def _cut(self, run: _Run, window: Sequence[SourceDocument]) -> list[Piece]:
        texts = [source.text for source in window]
        found = await run.loaded.model.prepare(texts, catalog.chunking_of(run.target))
        return list(zip(window, found, strict=True))

    async def _advance(self, held: Range, after: uuid.UUID | None) -> None:
        async def work() -> None:
            async with self._engine.begin() as conn:
                if not await migration_ranges.advance(conn, held, after, finished=after is None):
                    raise errors.LeaseLost(f"range {held.no}")

        await retries.writing(work)

    async def _batch(self, run: _Run, held: Range, batch: Sequence[Piece]) -> None:
        chunks = sum(text_vectors.chunks(prepared) for _, prepared in batch)
        await run.throttle.wait_for_turn(chunks)
        if run.throttle.stopped:
            return
        begun = time.monotonic()
        name = uuid.uuid4().hex[:8]
        told = {"migration": str(run.migration.id), "chunks": chunks, "batch": name}
        done = await text_vectors.encode_chunks(
            run.loaded, [prepared for _, prepared in batch], Urgency.BACKFILL
        )
        log.info("backfill_encoded", **told)
        filled = [
            WrittenVectors(source.doc_key, source.text_hash, one)
            for (source, _), one in zip(batch, done, strict=True)
        ]
        await retries.writing(lambda: self._write(run, held, filled))
        log.info("backfill_written", **told)
        run.throttle.record_batch(chunks, time.monotonic() - begun)

    async def _write(self, run: _Run, held: Range, filled: Sequence[WrittenVectors]) -> None:
        """Nothing where the lease was lost: a worker that was asleep for long writes no row."""
        async with self._engine.begin() as conn:
            live = await fence.enter(conn, run.migration.collection.id)
            if run.target.id not in {index.id for index in live}:
                raise errors.LeaseLost(f"the index {run.target.id} is no longer written")
            written = await text_vectors.write_texts(conn, run.target, filled)
            good = [one for one in written if one.chunks]
            await pending.complete(
                conn, run.target.id, [(one.doc_key, one.text_hash) for one in good]
            )
            counted = await migration_ranges.record_progress(
                conn, held, documents=len(written), chunks=sum(one.chunks for one in good)
            )
            if not counted:
                raise errors.LeaseLost(f"range {held.no}")
