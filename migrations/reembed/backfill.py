"""The backfill: any number of workers embed ranges of documents for the target index."""

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
from indexing.documents.backlog import Backlog
from indexing.documents.text_vectors import WrittenVectors
from indexing.models.loaded import Loaded
from indexing.models.pool import ModelPool
from migrations.reembed import errors, leadership
from migrations.reembed import migration as reembed
from migrations.reembed.migration import Migration
from migrations.reembed.throttle import Throttle
from storage import collections, documents, fence, migration_ranges, pending
from storage import engine as database
from storage.indexes import IndexRow
from storage.migration_ranges import Range, SourceDocument

log = structlog.get_logger()

# Two batches are in flight: one is encoded while the other is written and the next is read.
LANES = 2
# Documents per range; small collections are also split, so that workers can share them.
_RANGE_DOCUMENTS = 500
_MAX_RANGES = 1024
_MIN_RANGES = 4
# Read and chunked together, so that batches contain texts of similar length.
_WINDOW = 512
_WINDOW_BYTES = 1_000_000
# With steady writes a few are always pending; they are embedded before the cutover.
_FEW_PENDING = 64
_MISSING_AT_ONCE = 5000

Piece = tuple[SourceDocument, text_vectors.Cut]


@dataclasses.dataclass(frozen=True)
class _Run:
    """What all batches of one call share."""

    migration: Migration
    target: IndexRow
    loaded: Loaded
    throttle: Throttle


async def create_ranges(conn: AsyncConnection, migration: Migration) -> None:
    """Split the collection's documents into ranges that workers can claim."""
    total = await collections.count_documents(conn, migration.collection.id)
    count = min(_MAX_RANGES, max(_MIN_RANGES, total // _RANGE_DOCUMENTS))
    await migration_ranges.create(conn, migration.id, count)


class Backfill:
    """One worker's part in the backfills of migrations."""

    def __init__(
        self, engine: AsyncEngine, models: ModelPool, backlog: Backlog, owner: str
    ) -> None:
        self._engine = engine
        self._models = models
        self._backlog = backlog
        self._owner = owner

    async def work(self, migration: Migration, throttle: Throttle) -> bool:
        """Embed ranges, or what was written meanwhile; returns whether there was any work.

        Raises ModelMissing, EmbeddingError.
        """
        return await self._run_ranges(migration, throttle) or await self.drain_pending(
            migration, throttle
        )

    async def drain_pending(self, migration: Migration, throttle: Throttle) -> bool:
        """Embed some of what was written meanwhile, throttled as the ranges are."""
        started = time.monotonic()
        done = await self._backlog.embed_batch(migration.target_index)
        if done.documents:
            throttle.record_batch(done.chunks, time.monotonic() - started)
            await throttle.wait_for_turn(done.chunks)
        return done.documents > 0

    async def finish(self, migration: Migration, epoch: int) -> bool:
        """Enter `building` if a query finds nothing missing; the caller leads with `epoch`.

        Returns False while ranges or pending texts are left, True if the state changed or missing
        documents were made pending.
        """
        target, collection_id = migration.target_index, migration.collection.id
        async with self._engine.begin() as conn:
            ranges_left = (await migration_ranges.totals(conn, migration.id)).unfinished
            counts = await pending.counts(conn, target.id)
            if ranges_left or counts.waiting > _FEW_PENDING:
                return False
            # Reads every document, so only when the rest is done.
            missing = await pending.add_missing(conn, target.id, collection_id, _MISSING_AT_ONCE)
        if missing:
            return True
        async with self._engine.begin() as conn:
            await reembed.change_state(conn, migration, "building", epoch=epoch)
        return True

    async def _run_ranges(self, migration: Migration, throttle: Throttle) -> bool:
        """Work on ranges until none can be claimed; returns whether there was one.

        A lost lease is ignored: another worker continues that range.
        """
        target = migration.target_index
        with self._models.for_index(target) as loaded:
            run = _Run(migration, target, loaded, throttle)
            async with asyncio.TaskGroup() as group:
                lanes = [group.create_task(self._lane(run), name="backfill") for _ in range(LANES)]
            return any(lane.result() for lane in lanes)

    async def _lane(self, run: _Run) -> bool:
        worked = False
        while not run.throttle.stopped:
            async with self._engine.begin() as conn:
                claimed = await migration_ranges.claim(
                    conn, run.migration.id, owner=self._owner, lease_s=leadership.LEASE_S
                )
            if claimed is None:
                break
            worked = True
            with contextlib.suppress(errors.LeaseLost):
                async with self._lease(claimed):
                    await self._embed_range(run, claimed)
        return worked

    @contextlib.asynccontextmanager
    async def _lease(self, claimed: Range) -> AsyncIterator[None]:
        """Keep the lease during the block; after it, another worker may claim the range."""

        async def renew(conn: AsyncConnection) -> bool:
            return await migration_ranges.renew(conn, claimed, leadership.LEASE_S)

        try:
            async with leadership.keep_lease(self._engine, renew):
                yield
        finally:
            with contextlib.suppress(*database.FAILURES):
                async with self._engine.begin() as conn:
                    await migration_ranges.release(conn, claimed)

    async def _embed_range(self, run: _Run, claimed: Range) -> None:
        after = claimed.position
        if claimed.is_suspect and (window := await self._read_window(run, claimed, after)):
            await self._set_apart(run, window)
            after = window[-1].doc_key
            await self._advance(claimed, after)
        while window := await self._read_window(run, claimed, after):
            for batch in text_vectors.batches(await self._chunk(run, window)):
                await self._embed_batch(run, claimed, batch)
                if run.throttle.stopped:
                    return
            after = window[-1].doc_key
            await self._advance(claimed, after)
        await self._advance(claimed, None)

    async def _set_apart(self, run: _Run, window: Sequence[SourceDocument]) -> None:
        """Make texts pending: in the end those are leased one by one, which finds the killer."""
        hashes = {document.doc_key: document.text_hash for document in window}

        async def work() -> None:
            async with self._engine.begin() as conn:
                await fence.enter(conn, run.migration.collection.id)
                present = await documents.lock(conn, list(hashes))
                unchanged = {
                    key: hash_ for key, hash_ in hashes.items() if present.get(key) == hash_
                }
                await pending.add(conn, run.target.id, unchanged)

        await retries.writing(work)
        log.warning("range_set_apart", migration=str(run.migration.id), documents=len(window))

    async def _read_window(
        self, run: _Run, claimed: Range, after: uuid.UUID | None
    ) -> list[SourceDocument]:
        return await retries.read(
            self._engine,
            lambda conn: migration_ranges.next_documents(
                conn,
                claimed,
                collection_id=run.migration.collection.id,
                index_id=run.target.id,
                after=after,
                limit=_WINDOW,
                max_bytes=_WINDOW_BYTES,
            ),
        )

    async def _chunk(self, run: _Run, window: Sequence[SourceDocument]) -> list[Piece]:
        texts = [source.text for source in window]
        chunked = await run.loaded.model.prepare(texts, catalog.chunking_of(run.target))
        return list(zip(window, chunked, strict=True))

    async def _advance(self, claimed: Range, after: uuid.UUID | None) -> None:
        async def work() -> None:
            async with self._engine.begin() as conn:
                if not await migration_ranges.advance(conn, claimed, after, finished=after is None):
                    raise errors.LeaseLost(f"range {claimed.no}")

        await retries.writing(work)

    async def _embed_batch(self, run: _Run, claimed: Range, batch: Sequence[Piece]) -> None:
        chunks = sum(text_vectors.chunks(prepared) for _, prepared in batch)
        await run.throttle.wait_for_turn(chunks)
        if run.throttle.stopped:
            return
        started = time.monotonic()
        fields = {
            "migration": str(run.migration.id),
            "chunks": chunks,
            "batch": uuid.uuid4().hex[:8],
        }
        encoded = await text_vectors.encode_chunks(
            run.loaded, [prepared for _, prepared in batch], Urgency.BACKFILL
        )
        log.info("backfill_encoded", **fields)
        embedded = [
            WrittenVectors(source.doc_key, source.text_hash, vectors)
            for (source, _), vectors in zip(batch, encoded, strict=True)
        ]
        await retries.writing(lambda: self._write(run, claimed, embedded))
        log.info("backfill_written", **fields)
        run.throttle.record_batch(chunks, time.monotonic() - started)

    async def _write(self, run: _Run, claimed: Range, embedded: Sequence[WrittenVectors]) -> None:
        """Raises LeaseLost and writes nothing if the lease was lost, say by a suspended worker."""
        async with self._engine.begin() as conn:
            live = await fence.enter(conn, run.migration.collection.id)
            if run.target.id not in {index.id for index in live}:
                raise errors.LeaseLost(f"the index {run.target.id} is no longer written")
            written = await text_vectors.write_texts(conn, run.target, embedded)
            succeeded = [result for result in written if result.chunks]
            await pending.complete(
                conn, run.target.id, [(result.doc_key, result.text_hash) for result in succeeded]
            )
            is_ours = await migration_ranges.record_progress(
                conn,
                claimed,
                documents=len(written),
                chunks=sum(result.chunks for result in succeeded),
            )
            if not is_ours:
                raise errors.LeaseLost(f"range {claimed.no}")
