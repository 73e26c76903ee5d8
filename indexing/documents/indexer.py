"""Writes of documents: the one pipeline that keeps every live index in step with its documents."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from indexing import errors, retries
from indexing.catalog import Catalog, Collection
from indexing.documents import results
from indexing.documents.batch import Batch
from indexing.models.pool import ModelPool
from storage import documents, fence, filters, pending, vectors
from storage.collections import CollectionRow
from storage.documents import NewDocumentRow
from storage.errors import DocumentChanged, DocumentNotFound, IndexChanged

# Each further attempt means that another client has changed a document meanwhile.
_MAX_ATTEMPTS = 50
# Batches of one stream in flight: one being tokenized, one encoded, one written.
_IN_FLIGHT = 3
_DELETE_AT_ONCE = 500

Item = NewDocumentRow | results.WriteResult


class Indexer:
    """Writes and deletes documents with their vectors; `streams`: open bulk streams."""

    def __init__(self, engine: AsyncEngine, models: ModelPool, catalog: Catalog) -> None:
        self._engine = engine
        self._models = models
        self._catalog = catalog
        self.streams = 0

    async def write(
        self,
        collection: CollectionRow,
        new: Sequence[NewDocumentRow],
        turn: asyncio.Future[None] | None = None,
    ) -> dict[UUID, results.WriteResult]:
        """Store and embed documents with different ids; committed when this returns.

        `turn` is awaited between embedding and the first write. Raises CollectionNotFound, Busy.
        """
        batch = Batch(self._engine, self._models, new)
        for _ in range(_MAX_ATTEMPTS):
            try:
                return await retries.writing(lambda: self._attempt(collection, batch, turn))
            except (DocumentChanged, IndexChanged):
                self._catalog.forget(collection.name)
        raise errors.Busy("other clients kept changing the same documents; send them again")

    async def _attempt(
        self, row: CollectionRow, batch: Batch, turn: asyncio.Future[None] | None
    ) -> dict[UUID, results.WriteResult]:
        collection = await self._catalog.find(row.name, to_write=True)
        if collection.row.id != row.id:  # the documents' keys are those of the old one
            raise errors.Busy(
                f"the collection {row.name!r} was deleted and created again meanwhile; send the "
                "documents that were not acknowledged again"
            )
        plan = await batch.prepare(collection)
        if turn is not None:
            await turn
        await batch.write(collection, plan)
        return batch.outcome(collection, plan)

    async def require_room(self, name: str) -> None:
        """Raises Overloaded if the collection's encoder takes no more texts at the moment."""
        active = (await self._catalog.find(name)).active
        if self._models.has_space(active.space_id):
            with self._models.for_index(active) as loaded:
                loaded.model.require_room()

    async def remove(self, name: str, document_id: str) -> None:
        """Delete one document and its vectors. Raises DocumentNotFound."""
        for _ in range(_MAX_ATTEMPTS):
            collection = await self._catalog.find(name, to_write=True)
            key = documents.key(collection.row.id, document_id)
            try:
                removed = await self._remove_keys(collection, [key])
            except IndexChanged:
                self._catalog.forget(name)
                continue
            if not removed:
                raise DocumentNotFound(name, document_id)
            return
        raise errors.Busy("the collection kept changing; send the request again")

    async def remove_matching(self, name: str, condition: filters.Filter) -> int:
        """Delete the documents whose metadata match the filter; returns their number."""
        removed = 0
        while True:
            collection = await self._catalog.find(name, to_write=True)
            async with self._engine.connect() as conn:
                keys = await documents.matching(conn, collection.row.id, condition, _DELETE_AT_ONCE)
            try:
                removed += await self._remove_keys(collection, keys)
            except IndexChanged:
                self._catalog.forget(name)
                continue
            if not keys:
                return removed

    async def _remove_keys(self, collection: Collection, keys: Sequence[UUID]) -> int:
        """The documents first, then their vectors in every live index, in one transaction."""
        gone: set[UUID] = set()

        async def work() -> None:
            async with self._engine.begin() as conn:
                live = await fence.enter(conn, collection.row.id)
                if collection.active.id not in {index.id for index in live}:
                    raise IndexChanged(collection.row.name)
                removed = await documents.remove(conn, keys)
                # Counted even if the COMMIT succeeds and its answer is lost.
                gone.update(removed)
                for index in live:
                    await vectors.remove(conn, index.id, removed)
                    await pending.remove(conn, index.id, removed)

        await retries.writing(work)
        return len(gone)

    def stream(self, collection: CollectionRow, *, bulk: bool = True) -> "Stream":
        """Batches committed in order; while a `bulk` stream is open, no HNSW is built here."""
        return Stream(self, collection, bulk=bulk)


class Stream:
    """Batches into one collection, overlapped but committed in order; an async context manager."""

    def __init__(self, indexer: Indexer, collection: CollectionRow, *, bulk: bool) -> None:
        self._indexer = indexer
        self._bulk = bulk
        self._collection = collection
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        self._last: asyncio.Future[None] | None = None
        self._keys: list[tuple[asyncio.Future[None], frozenset[UUID]]] = []
        self._tasks: set[asyncio.Task[list[results.WriteResult]]] = set()

    async def __aenter__(self) -> "Stream":
        self._indexer.streams += self._bulk
        return self

    async def __aexit__(self, *_: object) -> None:
        self._indexer.streams -= self._bulk
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def all(self, items: Sequence[Item], at_once: int) -> list[results.WriteResult]:
        """Write all items in batches of `at_once`; the results in the order of the items.

        Of several items with one id the last wins, across batches.
        """
        new, order = _last_wins(items)
        parts = [new[start : start + at_once] for start in range(0, len(new), at_once)]
        tasks = [await self.submit(part) for part in parts]
        by_key: dict[UUID, results.WriteResult] = {}
        for part, task in zip(parts, tasks, strict=True):
            keys = [document.doc_key for document in part]
            by_key |= zip(keys, await task, strict=True)
        return [by_key[item] if isinstance(item, UUID) else item for item in order]

    async def submit(self, items: Sequence[Item]) -> "asyncio.Task[list[results.WriteResult]]":
        """Start a batch as soon as there is room; its results are in the order of the items."""
        await self._slots.acquire()
        new, order = _last_wins(items)
        keys = frozenset(document.doc_key for document in new)
        self._keys = [(batch, others) for batch, others in self._keys if not batch.done()]
        for earlier, others in self._keys:
            # A batch with the same documents can only be planned after the earlier one's commit.
            if keys & others:
                await asyncio.wait([earlier])
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.add_done_callback(_retrieve)
        turn, self._last = self._last, done
        self._keys.append((done, keys))
        task = asyncio.create_task(self._run(new, order, turn, done), name="stream-batch")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(
        self,
        new: Sequence[NewDocumentRow],
        order: Sequence[UUID | results.WriteResult],
        turn: asyncio.Future[None] | None,
        done: asyncio.Future[None],
    ) -> list[results.WriteResult]:
        try:
            by_key = await self._indexer.write(self._collection, new, turn) if new else {}
            if turn is not None:
                await turn
        except BaseException as error:
            done.set_exception(error if isinstance(error, Exception) else StreamEnded())
            raise
        finally:
            self._slots.release()
        done.set_result(None)
        return [by_key[item] if isinstance(item, UUID) else item for item in order]


class StreamEnded(Exception):
    """An earlier batch of the stream was cancelled."""


def _retrieve(future: asyncio.Future[None]) -> None:
    """The task raises the exception; nobody waits for the future of the last batch."""
    if not future.cancelled():
        future.exception()


def _last_wins(
    items: Sequence[Item],
) -> tuple[list[NewDocumentRow], list[UUID | results.WriteResult]]:
    """The documents to write, each id once, and for each item its result or the key of it."""
    last = {item.doc_key: no for no, item in enumerate(items) if isinstance(item, NewDocumentRow)}
    order: list[UUID | results.WriteResult] = []
    new = []
    for no, item in enumerate(items):
        if isinstance(item, results.WriteResult):
            order.append(item)
        elif last[item.doc_key] == no:
            order.append(item.doc_key)
            new.append(item)
        else:
            order.append(results.WriteResult(id=item.id, status="superseded"))
    return new, order
