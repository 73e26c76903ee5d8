"""Searches: the query is encoded by the model of the index that answers it."""

import dataclasses
import time
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding.encoders.encoder import Encoded
from embedding.errors import NoTokens, TextFailed
from indexing import errors, retries
from indexing.catalog import Catalog, Collection
from indexing.models.pool import ModelPool
from indexing.query_log import QueryLog
from indexing.replica import Replica
from storage import documents, filters, search, vectors
from storage.errors import DocumentNotFound, IndexChanged

# Each time the active index changed between encoding and searching.
_MAX_ATTEMPTS = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchQuery:
    """What a client asks for; `expect_space` is a fingerprint that must be the answering one."""

    limit: int = 10
    exact: bool = False
    condition: filters.Filter | None = None
    expect_space: str | None = None


@dataclasses.dataclass(frozen=True)
class SearchAnswer:
    """`query_cut`: the query was longer than the model's limit, only its beginning was read."""

    collection: Collection
    nearest: search.Nearest
    query_cut: bool = False


class Searcher:
    def __init__(
        self,
        engine: AsyncEngine,
        models: ModelPool,
        catalog: Catalog,
        *,
        query_log: QueryLog,
        replica: Replica,
    ) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._models = models
        self._catalog = catalog
        self._query_log = query_log
        self._replica = replica

    async def by_text(self, name: str, text: str, wish: SearchQuery) -> SearchAnswer:
        """Raises CollectionNotFound, SpaceMismatch, ModelMissing, NoTokens, Busy."""
        await self._replica.require_registered()
        started = time.perf_counter()
        for _ in range(_MAX_ATTEMPTS):
            collection = await self._expected(name, wish)
            try:
                encoded = await self._encode(collection, text)
                found = await self._nearest(collection, encoded.vectors[0], wish)
                self._query_log.note(collection.row.id, text, time.perf_counter() - started)
                return dataclasses.replace(found, query_cut=encoded.cut[0])
            except IndexChanged:
                self._catalog.forget(name)
            except (errors.ModelMissing, NoTokens, TextFailed):
                # Another index may answer by now, whose model is here and can take the text.
                if not await self._changed(collection):
                    raise
        raise errors.Busy("the active index kept changing; try again")

    async def similar(self, name: str, document_id: str, wish: SearchQuery) -> SearchAnswer:
        """Documents near the centre of one document's chunks, without it. No model is needed."""
        await self._replica.require_registered()
        for _ in range(_MAX_ATTEMPTS):
            collection = await self._expected(name, wish)
            key = documents.key(collection.row.id, document_id)
            try:
                async with self._engine.connect() as conn:
                    found = await vectors.of_document(conn, collection.active, key)
                if not len(found):
                    if await self._changed(collection):
                        continue
                    raise DocumentNotFound(name, document_id)
                centre = found.mean(axis=0)
                vector = (centre / np.linalg.norm(centre)).astype(np.float32)
                return await self._nearest(collection, vector, wish, excluded=key)
            except IndexChanged:
                self._catalog.forget(name)
        raise errors.Busy("the active index kept changing; try again")

    async def _expected(self, name: str, wish: SearchQuery) -> Collection:
        while True:
            collection = await self._catalog.find(name)
            active = collection.active
            if wish.expect_space in (None, active.fingerprint):
                return collection
            if not await self._changed(collection):
                raise errors.SpaceMismatch(
                    str(wish.expect_space), active.fingerprint, active.model_id
                )

    async def _changed(self, collection: Collection) -> bool:
        """Whether another index answers by now than the one that the catalog knew."""
        self._catalog.forget(collection.row.name)
        now = await self._catalog.find(collection.row.name)
        return now.active.id != collection.active.id

    async def _encode(self, collection: Collection, text: str) -> Encoded:
        active = collection.active
        with self._models.held(active) as loaded:
            encoded = await loaded.model.encode_query(text)
        if loaded.space_of(encoded) != active.space_id:
            raise IndexChanged(active.table)
        return encoded

    async def _nearest(
        self,
        collection: Collection,
        vector: NDArray[np.float32],
        wish: SearchQuery,
        excluded: UUID | None = None,
    ) -> SearchAnswer:
        query = search.Query(
            vector=vector,
            limit=wish.limit,
            exact=wish.exact,
            condition=wish.condition,
            excluded=excluded,
        )

        async def work() -> search.Nearest:
            async with self._engine.connect() as conn:
                return await search.nearest(conn, collection.active, query)

        return SearchAnswer(collection, await retries.reading(work))
