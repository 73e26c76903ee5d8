"""Works off what live indexes lack: writes that came while their model was missing."""

import asyncio
import contextlib
import socket
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding.scheduling.queue import Urgency
from indexing import catalog, retries, tasks
from indexing.documents import text_vectors
from indexing.documents.text_vectors import TextFailure, TextVectors, WrittenVectors
from indexing.models.pool import ModelPool
from storage import engine as database
from storage import fence, indexes, pending, pending_leases
from storage.errors import IndexChanged
from storage.indexes import IndexRow
from storage.pending_leases import Claim

log = structlog.get_logger()

# A `building` index is filled by its re-embed migration.
_FILLED = ("active", "cutting", "retained")
_EVERY_S = 2.0
_AT_ONCE = 64
_WRITE_AT_ONCE = 16
# What a process that was killed had in hand is taken over after this.
_LEASE_S = 15
_RENEW_EVERY_S = 4.0
_NOTE_AT_ONCE = 5000


class WorkDone(NamedTuple):
    documents: int
    chunks: int


class Backlog:
    """A task of the process; any number of them share the work by leases."""

    def __init__(self, engine: AsyncEngine, models: ModelPool) -> None:
        self._engine = engine
        self._models = models
        self._owner = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        self._noted = False

    async def run(self) -> None:
        """Until cancelled. What a crash left unnoted is found by a query at the start."""
        await tasks.every(_EVERY_S, self._note_and_tick, name="backlog", ignore=(IndexChanged,))

    async def _note_and_tick(self) -> bool:
        """Whether there may be more to do."""
        if not self._noted:
            await self._note_missing()
            self._noted = True
        return await self.tick() > 0

    async def _note_missing(self) -> None:
        async with self._engine.connect() as conn:
            live = await indexes.in_state(conn, *_FILLED)
        for index in live:
            async with self._engine.begin() as conn:
                await pending.remove_stale(conn, index.id)
            while True:
                async with self._engine.begin() as conn:
                    count = await pending.add_missing(
                        conn, index.id, index.collection_id, _NOTE_AT_ONCE
                    )
                if count:
                    log.info("missing_vectors_noted", index=index.id, documents=count)
                if count < _NOTE_AT_ONCE:
                    break

    async def tick(self) -> int:
        """One batch for each index that lacks something; how many documents were worked on."""
        async with self._engine.connect() as conn:
            due = await indexes.with_due_texts(conn, *_FILLED)
        worked = 0
        for index in due:
            if not self._models.has(index.space_id):
                continue
            try:
                worked += (await self.work_off(index)).documents
            except Exception as error:  # tried again, and no other index waits for it
                if not tasks.passes(error, ignore=(IndexChanged,)):
                    log.exception("backlog_failed", index=index.id)
        return worked

    async def work_off(self, index: IndexRow, urgency: Urgency = Urgency.BACKFILL) -> WorkDone:
        """One batch of what `index` lacks.

        Raises IndexChanged where it is not a live one any more, EmbeddingError, ModelMissing.
        """
        async with self._engine.begin() as conn:
            claims = await pending_leases.claim(
                conn, index.id, owner=self._owner, limit=_AT_ONCE, lease_s=_LEASE_S
            )
        if not claims:
            return WorkDone(0, 0)
        async with self._holding(index, claims):
            return WorkDone(len(claims), await self._work(index, claims, urgency))

    @contextlib.asynccontextmanager
    async def _holding(self, index: IndexRow, claims: list[Claim]) -> AsyncIterator[None]:
        """Keep the leases while in the block; whatever ends it, others may take them at once."""
        renewing = asyncio.create_task(self._renew(index, claims), name="pending leases")
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            with contextlib.suppress(*database.FAILURES):
                async with self._engine.begin() as conn:
                    await pending_leases.release(conn, index.id, claims)

    async def _renew(self, index: IndexRow, claims: list[Claim]) -> None:
        while True:
            await asyncio.sleep(_RENEW_EVERY_S)
            with contextlib.suppress(*database.FAILURES):
                async with self._engine.begin() as conn:
                    await pending_leases.renew(conn, index.id, claims, _LEASE_S)

    async def _work(self, index: IndexRow, claims: Sequence[Claim], urgency: Urgency) -> int:
        """Each batch is written before the next is encoded; how many chunks there were."""
        count = 0
        with self._models.held(index) as loaded:
            texts = [claim.text for claim in claims]
            cut = await loaded.model.prepare(texts, catalog.chunking_of(index))
            for batch in text_vectors.batches(list(zip(claims, cut, strict=True))):
                done = await text_vectors.encode_chunks(
                    loaded, [prepared for _, prepared in batch], urgency
                )
                await self._write(index, [claim for claim, _ in batch], done)
                count += sum(text_vectors.chunks(prepared) for _, prepared in batch)
        return count

    async def _write(
        self, index: IndexRow, claims: Sequence[Claim], found: Sequence[TextVectors | TextFailure]
    ) -> None:
        ready: list[tuple[Claim, WrittenVectors]] = []
        for claim, done in zip(claims, found, strict=True):
            if isinstance(done, TextVectors):
                ready.append((claim, WrittenVectors(claim.doc_key, claim.text_hash, done)))
            else:
                async with self._engine.begin() as conn:
                    await pending_leases.fail(
                        conn, index.id, claim, f"{done.reason}: {done.detail}"
                    )
        ready.sort(key=lambda pair: pair[0].doc_key)
        for start in range(0, len(ready), _WRITE_AT_ONCE):
            await self._write_part(index, ready[start : start + _WRITE_AT_ONCE])

    async def _write_part(self, index: IndexRow, ready: list[tuple[Claim, WrittenVectors]]) -> None:
        async def work() -> None:
            async with self._engine.begin() as conn:
                live = await fence.enter(conn, index.collection_id)
                if index.id not in {one.id for one in live}:
                    raise IndexChanged(index.table)
                await text_vectors.write_texts(conn, index, [filled for _, filled in ready])
                await pending_leases.complete(conn, index.id, [claim for claim, _ in ready])

        await retries.writing(work)
