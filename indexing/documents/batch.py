"""One batch of documents for a collection: planned, embedded, written."""

import dataclasses
from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from embedding.text import chunking
from indexing import catalog
from indexing.catalog import Collection
from indexing.documents import results
from indexing.documents.text_vectors import (
    TextFailure,
    TextVectors,
    WrittenVectors,
    embed_texts,
    write_vectors,
)
from indexing.models.pool import ModelPool
from storage import documents, fence, indexes, pending, vectors
from storage.documents import NewDocumentRow, StoredState
from storage.errors import DocumentChanged, IndexChanged
from storage.indexes import IndexRow

# With an HNSW index each inserted row costs about 1.8 ms: others wait less for short transactions.
MAX_CHUNKS_WITH_HNSW = 100
MAX_CHUNKS = 1000


@dataclasses.dataclass(frozen=True)
class WritePlan:
    """What a batch has to do, given what is stored.

    `embed`: documents whose text has no valid vectors; `describe`: only their metadata changed.
    """

    live: tuple[IndexRow, ...]
    stored: Mapping[UUID, StoredState]
    embed: Mapping[UUID, NewDocumentRow]
    describe: Mapping[UUID, NewDocumentRow]


class Batch:
    """Documents with different ids that are written together.

    It keeps what it embedded, so that planning again after a conflict embeds no text twice.
    """

    def __init__(
        self, engine: AsyncEngine, models: ModelPool, new: Sequence[NewDocumentRow]
    ) -> None:
        self._engine = engine
        self._models = models
        self._new = new
        # By index and text hash.
        self._results: dict[tuple[int, bytes], TextVectors | TextFailure] = {}
        self._before: Mapping[UUID, StoredState] | None = None
        self._versions: dict[UUID, int] = {}

    async def prepare(self, collection: Collection) -> WritePlan:
        """Plan the batch and embed what the plan needs."""
        plan = await self._plan(collection)
        if self._before is None:
            self._before = plan.stored
        await self._embed(plan)
        return plan

    async def _plan(self, collection: Collection) -> WritePlan:
        async with self._engine.connect() as conn:
            live = await _live(conn, collection)
            stored = await documents.states(conn, collection.active.id, self._new)
        embed, describe = {}, {}
        for document in self._new:
            state = stored.get(document.doc_key)
            if state is None or state.text_hash != document.text_hash or not state.counts:
                embed[document.doc_key] = document
            elif not state.same_metadata:
                describe[document.doc_key] = document
        return WritePlan(tuple(live), stored, embed, describe)

    async def _embed(self, plan: WritePlan) -> None:
        """Embed the plan's texts for every live index whose model is loaded.

        An index that is being built is left out: it would double the cost of every write until it
        is complete. Its migration embeds what is noted as pending.
        """
        for index in plan.live:
            if index.state == "building" or not self._models.has_space(index.space_id):
                continue
            new = [
                document
                for document in plan.embed.values()
                if (index.id, document.text_hash) not in self._results
            ]
            if not new:
                continue
            texts = [document.text for document in new]
            with self._models.for_index(index) as loaded:
                results = await embed_texts(loaded, texts, catalog.chunking_of(index))
            for document, result in zip(new, results, strict=True):
                self._results[index.id, document.text_hash] = result

    async def write(self, collection: Collection, plan: WritePlan) -> None:
        """Write the plan in transactions of bounded size.

        Raises DocumentChanged or IndexChanged if the plan is out of date: plan again.
        """
        searchable = [
            document
            for document in plan.embed.values()
            if self._failure(collection, document) is None
        ]
        changed = sorted(
            [*searchable, *plan.describe.values()], key=lambda document: document.doc_key
        )
        texts = {document.doc_key for document in searchable}
        max_chunks = MAX_CHUNKS_WITH_HNSW if collection.active.hnsw != "none" else MAX_CHUNKS
        for part in self._parts(changed, plan, max_chunks):
            async with self._engine.begin() as conn:
                versions = await self._write_part(conn, collection, plan, part, texts)
            self._versions |= versions

    def _failure(self, collection: Collection, document: NewDocumentRow) -> TextFailure | None:
        """Why the active index can't take the document; for other live indexes it is set aside."""
        result = self._results.get((collection.active.id, document.text_hash))
        return result if isinstance(result, TextFailure) else None

    def _vectors(self, index_id: int, document: NewDocumentRow) -> TextVectors | None:
        result = self._results.get((index_id, document.text_hash))
        return result if isinstance(result, TextVectors) else None

    def _parts(
        self, changed: Sequence[NewDocumentRow], plan: WritePlan, max_chunks: int
    ) -> list[list[NewDocumentRow]]:
        """Up to `max_chunks` chunks together; the chunks of one document are never separated."""
        parts: list[list[NewDocumentRow]] = []
        size = max_chunks
        for document in changed:
            per_index = [self._vectors(index.id, document) for index in plan.live]
            chunks = max(
                1, sum(len(text.prepared.chunks) for text in per_index if text is not None)
            )
            if size + chunks > max_chunks:
                parts.append([])
                size = 0
            parts[-1].append(document)
            size += chunks
        return parts

    async def _write_part(
        self,
        conn: AsyncConnection,
        collection: Collection,
        plan: WritePlan,
        part: Sequence[NewDocumentRow],
        texts: set[UUID],
    ) -> dict[UUID, int]:
        live = await fence.enter(conn, collection.row.id)
        if _states(live) != _states(plan.live):
            raise IndexChanged(collection.row.name)
        locked = await documents.lock(conn, [document.doc_key for document in part])
        for document in part:
            if document.doc_key not in texts and locked.get(document.doc_key) != document.text_hash:
                raise DocumentChanged(document.id)
        versions = await documents.upsert(conn, collection.row.id, part)
        new = [document for document in part if document.doc_key in texts]
        if new:
            for index in live:
                await self._write_vectors(conn, index, new)
        return versions

    async def _write_vectors(
        self, conn: AsyncConnection, index: IndexRow, new: Sequence[NewDocumentRow]
    ) -> None:
        await pending.remove(conn, index.id, [document.doc_key for document in new])
        texts, lacking = [], {}
        for document in new:
            result = self._results.get((index.id, document.text_hash))
            if result is None or index.state == "building":
                lacking[document.doc_key] = document.text_hash
            else:
                texts.append(WrittenVectors(document.doc_key, document.text_hash, result))
        await vectors.remove(conn, index.id, list(lacking))
        await write_vectors(conn, index, texts)
        if lacking:
            await pending.add(conn, index.id, lacking)

    def outcome(self, collection: Collection, plan: WritePlan) -> dict[UUID, results.WriteResult]:
        """The result of each document, once the plan is written."""
        return {
            document.doc_key: self._result(collection, plan, document) for document in self._new
        }

    def _result(
        self, collection: Collection, plan: WritePlan, document: NewDocumentRow
    ) -> results.WriteResult:
        failure = self._failure(collection, document) if document.doc_key in plan.embed else None
        if failure is not None:
            return results.failed(document.id, failure.reason, failure.detail)
        stored = plan.stored.get(document.doc_key)
        version = self._versions.get(document.doc_key, stored.version if stored else None)
        vectors_ = self._vectors(collection.active.id, document)
        prepared = vectors_.prepared if vectors_ else None
        return results.WriteResult(
            id=document.id,
            status=self._status(document, version),
            version=version,
            chunks=len(prepared.chunks) if prepared else None,
            tokens=prepared.tokens if prepared else None,
            cut=bool(prepared and prepared.cut),
            pending=prepared is None and document.doc_key in plan.embed,
            warnings=_warnings(prepared, collection.active.model_id),
        )

    def _status(self, document: NewDocumentRow, version: int | None) -> results.Status:
        """By what was stored before all attempts: a COMMIT can succeed and its answer be lost."""
        before = (self._before or {}).get(document.doc_key)
        if before is not None and before.version == version:
            return "unchanged"
        return "created" if version == 1 else "updated"


def _states(live: Sequence[IndexRow]) -> list[tuple[int, str]]:
    """What a plan depends on: an index that was retained meanwhile is written differently."""
    return [(index.id, index.state) for index in live]


def _warnings(prepared: chunking.Prepared | None, model_id: str) -> tuple[str, ...]:
    if prepared is None or prepared.unknown_share <= results.UNKNOWN_SHARE:
        return ()
    return (results.unknown_warning(prepared.unknown_share, model_id),)


async def _live(conn: AsyncConnection, collection: Collection) -> list[IndexRow]:
    live = await indexes.live(conn, collection.row.id)
    # The catalog's entry may be from before a cutover, and a retained index refuses no document.
    if collection.active.id not in {index.id for index in live if index.state == "active"}:
        raise IndexChanged(collection.row.name)
    return live
