"""The backlog: texts that a live index has no vectors for yet, embedded in the background."""

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
# The claims of a process that was killed are taken over after this.
_LEASE_S = 15
_RENEW_EVERY_S = 4.0
_NOTE_AT_ONCE = 5000


class WorkDone(NamedTuple):
    """What one batch of work covered."""

    documents: int
    chunks: int


class Backlog:
    """A background task of the process; any number of processes share the work by leases."""

    def __init__(self, engine: AsyncEngine, models: ModelPool) -> None:
        self._engine = engine
        self._models = models
        self._owner = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        self._noted = False

    async def run(self) -> None:
        """Until cancelled. A query at the start finds what a crash left unrecorded."""
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
        """Embed one batch of each index with pending texts; returns the number of documents."""
        async with self._engine.connect() as conn:
            due = await indexes.with_due_texts(conn, *_FILLED)
        documents = 0
        for index in due:
            if not self._models.has_space(index.space_id):
                continue
            try:
                documents += (await self.embed_batch(index)).documents
            except Exception as error:  # tried again; the other indexes go on
                if not tasks.passes(error, ignore=(IndexChanged,)):
                    log.exception("backlog_failed", index=index.id)
        return documents

    async def embed_batch(self, index: IndexRow, urgency: Urgency = Urgency.BACKFILL) -> WorkDone:
        """Embed one batch of the texts that `index` lacks.

        Raises IndexChanged if it is no longer live, EmbeddingError, ModelMissing.
        """
        async with self._engine.begin() as conn:
            claims = await pending_leases.claim(
                conn, index.id, owner=self._owner, limit=_AT_ONCE, lease_s=_LEASE_S
            )
        if not claims:
            return WorkDone(0, 0)
        async with self._hold_leases(index, claims):
            return WorkDone(len(claims), await self._work(index, claims, urgency))

    @contextlib.asynccontextmanager
    async def _hold_leases(self, index: IndexRow, claims: list[Claim]) -> AsyncIterator[None]:
        """Renew the leases while in the block, then release them, however the block ends."""
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
        """Encode and write the claims, batch by batch; returns the number of chunks."""
        count = 0
        with self._models.for_index(index) as loaded:
            texts = [claim.text for claim in claims]
            cut = await loaded.model.prepare(texts, catalog.chunking_of(index))
            for batch in text_vectors.batches(list(zip(claims, cut, strict=True))):
                results = await text_vectors.encode_chunks(
                    loaded, [prepared for _, prepared in batch], urgency
                )
                await self._write(index, [claim for claim, _ in batch], results)
                count += sum(text_vectors.chunks(prepared) for _, prepared in batch)
        return count

    async def _write(
        self, index: IndexRow, claims: Sequence[Claim], results: Sequence[TextVectors | TextFailure]
    ) -> None:
        ready: list[tuple[Claim, WrittenVectors]] = []
        for claim, result in zip(claims, results, strict=True):
            if isinstance(result, TextVectors):
                ready.append((claim, WrittenVectors(claim.doc_key, claim.text_hash, result)))
            else:
                async with self._engine.begin() as conn:
                    await pending_leases.fail(
                        conn, index.id, claim, f"{result.reason}: {result.detail}"
                    )
        ready.sort(key=lambda pair: pair[0].doc_key)
        for start in range(0, len(ready), _WRITE_AT_ONCE):
            await self._write_part(index, ready[start : start + _WRITE_AT_ONCE])

    async def _write_part(self, index: IndexRow, ready: list[tuple[Claim, WrittenVectors]]) -> None:
        async def work() -> None:
            async with self._engine.begin() as conn:
                live = await fence.enter(conn, index.collection_id)
                if index.id not in {live_index.id for live_index in live}:
                    raise IndexChanged(index.table)
                await text_vectors.write_texts(conn, index, [vectors for _, vectors in ready])
                await pending_leases.complete(conn, index.id, [claim for claim, _ in ready])

        await retries.writing(work)
