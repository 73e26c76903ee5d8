"""One batch of documents on its way into a collection: planned, embedded, written."""

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

# With an HNSW index an inserted row costs about 1.8 ms: others wait less for short transactions.
MAX_CHUNKS_WITH_HNSW = 100
MAX_CHUNKS = 1000


@dataclasses.dataclass(frozen=True)
class WritePlan:
    """What a batch has to do, given what was stored when it was made.

    `embed`: their texts have no vectors that count; `describe`: only their metadata changed.
    """

    live: tuple[IndexRow, ...]
    stored: Mapping[UUID, StoredState]
    embed: Mapping[UUID, NewDocumentRow]
    describe: Mapping[UUID, NewDocumentRow]


class Batch:
    """Documents with different ids that are written together, keeping what was embedded.

    Made again after any conflict: nothing is embedded twice for the same text and model.
    """

    def __init__(
        self, engine: AsyncEngine, models: ModelPool, new: Sequence[NewDocumentRow]
    ) -> None:
        self._engine = engine
        self._models = models
        self._new = new
        self._done: dict[tuple[int, bytes], TextVectors | TextFailure] = {}
        self._before: Mapping[UUID, StoredState] | None = None
        self._versions: dict[UUID, int] = {}

    async def prepare(self, collection: Collection) -> WritePlan:
        """What has to be done, with everything embedded that it needs."""
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
            found = stored.get(document.doc_key)
            if found is None or found.text_hash != document.text_hash or not found.counts:
                embed[document.doc_key] = document
            elif not found.same_metadata:
                describe[document.doc_key] = document
        return WritePlan(tuple(live), stored, embed, describe)

    async def _embed(self, plan: WritePlan) -> None:
        """Embed what the plan needs for every live index whose model is here.

        Not for one that is being built: that would double the cost of every write until it is
        done. Its migration embeds what is noted as pending.
        """
        for index in plan.live:
            if index.state == "building" or not self._models.has(index.space_id):
                continue
            todo = [
                document
                for document in plan.embed.values()
                if (index.id, document.text_hash) not in self._done
            ]
            if not todo:
                continue
            texts = [document.text for document in todo]
            with self._models.held(index) as loaded:
                found = await embed_texts(loaded, texts, catalog.chunking_of(index))
            for document, done in zip(todo, found, strict=True):
                self._done[index.id, document.text_hash] = done

    async def write(self, collection: Collection, plan: WritePlan) -> None:
        """Write the plan in transactions of bounded size.

        Raises DocumentChanged, IndexChanged where the plan does not hold any more: plan again.
        """
        good = [
            document
            for document in plan.embed.values()
            if self._failure(collection, document) is None
        ]
        changed = sorted([*good, *plan.describe.values()], key=lambda document: document.doc_key)
        texts = {document.doc_key for document in good}
        most = MAX_CHUNKS_WITH_HNSW if collection.active.hnsw != "none" else MAX_CHUNKS
        for part in self._parts(changed, plan, most):
            async with self._engine.begin() as conn:
                versions = await self._write_part(conn, collection, plan, part, texts)
            self._versions |= versions

    def _failure(self, collection: Collection, document: NewDocumentRow) -> TextFailure | None:
        """Why the document can't be searched. What another live index can't take is set aside."""
        done = self._done.get((collection.active.id, document.text_hash))
        return done if isinstance(done, TextFailure) else None

    def _embedded(self, index_id: int, document: NewDocumentRow) -> TextVectors | None:
        done = self._done.get((index_id, document.text_hash))
        return done if isinstance(done, TextVectors) else None

    def _parts(
        self, changed: Sequence[NewDocumentRow], plan: WritePlan, most: int
    ) -> list[list[NewDocumentRow]]:
        """Whole documents, up to `most` chunks together: a document's are never torn apart."""
        parts: list[list[NewDocumentRow]] = []
        size = most
        for document in changed:
            found = [self._embedded(index.id, document) for index in plan.live]
            chunks = max(1, sum(len(one.prepared.chunks) for one in found if one is not None))
            if size + chunks > most:
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
        filled, lacking = [], {}
        for document in new:
            done = self._done.get((index.id, document.text_hash))
            if done is None or index.state == "building":
                lacking[document.doc_key] = document.text_hash
            else:
                filled.append(WrittenVectors(document.doc_key, document.text_hash, done))
        await vectors.remove(conn, index.id, list(lacking))
        await write_vectors(conn, index, filled)
        if lacking:
            await pending.add(conn, index.id, lacking)

    def outcome(self, collection: Collection, plan: WritePlan) -> dict[UUID, results.WriteResult]:
        """What to tell about each document after the plan was written."""
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
        embedded = self._embedded(collection.active.id, document)
        prepared = embedded.prepared if embedded else None
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
        """Judged by what was there before all: a COMMIT may get through and its answer be lost."""
        before = (self._before or {}).get(document.doc_key)
        if before is not None and before.version == version:
            return "unchanged"
        return "created" if version == 1 else "updated"


def _states(live: Sequence[IndexRow]) -> list[tuple[int, str]]:
    """What a plan holds for: an index that has become another one's rollback is written too."""
    return [(index.id, index.state) for index in live]


def _warnings(prepared: chunking.Prepared | None, model_id: str) -> tuple[str, ...]:
    if prepared is None or prepared.unknown_share <= results.UNKNOWN_SHARE:
        return ()
    return (results.unknown_warning(prepared.unknown_share, model_id),)


async def _live(conn: AsyncConnection, collection: Collection) -> list[IndexRow]:
    live = await indexes.live(conn, collection.row.id)
    # The entry may be from before a cut-over, and a retained index refuses no document.
    if collection.active.id not in {index.id for index in live if index.state == "active"}:
        raise IndexChanged(collection.row.name)
    return live
