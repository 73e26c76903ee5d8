"""Searches: the query is encoded with the model of the index that answers it."""

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

# Another attempt follows each change of the active index between encoding and searching.
_MAX_ATTEMPTS = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchQuery:
    """A client's options; `expect_space`: the fingerprint that the answering space must have."""

    limit: int = 10
    exact: bool = False
    condition: filters.Filter | None = None
    expect_space: str | None = None


@dataclasses.dataclass(frozen=True)
class SearchAnswer:
    """`query_cut`: the query was longer than the model's limit, so only its beginning was read."""

    collection: Collection
    nearest: search.Nearest
    query_cut: bool = False


class Searcher:
    """Searches collections by text, or for documents similar to a stored one."""

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

    async def by_text(self, name: str, text: str, query: SearchQuery) -> SearchAnswer:
        """Raises CollectionNotFound, SpaceMismatch, ModelMissing, NoTokens, Busy."""
        await self._replica.require_registered()
        started = time.perf_counter()
        for _ in range(_MAX_ATTEMPTS):
            collection = await self._expected(name, query)
            try:
                encoded = await self._encode(collection, text)
                answer = await self._nearest(collection, encoded.vectors[0], query)
                self._query_log.note(collection.row.id, text, time.perf_counter() - started)
                return dataclasses.replace(answer, query_cut=encoded.cut[0])
            except IndexChanged:
                self._catalog.forget(name)
            except (errors.ModelMissing, NoTokens, TextFailed):
                # By now another index may answer, with a model that is here and can take the text.
                if not await self._changed(collection):
                    raise
        raise errors.Busy("the active index kept changing; try again")

    async def similar(self, name: str, document_id: str, query: SearchQuery) -> SearchAnswer:
        """The documents nearest to the mean of one document's chunks; no model is needed.

        Raises CollectionNotFound, DocumentNotFound, SpaceMismatch, Busy.
        """
        await self._replica.require_registered()
        for _ in range(_MAX_ATTEMPTS):
            collection = await self._expected(name, query)
            key = documents.key(collection.row.id, document_id)
            try:
                async with self._engine.connect() as conn:
                    chunks = await vectors.of_document(conn, collection.active, key)
                if not len(chunks):
                    if await self._changed(collection):
                        continue
                    raise DocumentNotFound(name, document_id)
                centre = chunks.mean(axis=0)
                vector = (centre / np.linalg.norm(centre)).astype(np.float32)
                return await self._nearest(collection, vector, query, excluded=key)
            except IndexChanged:
                self._catalog.forget(name)
        raise errors.Busy("the active index kept changing; try again")

    async def _expected(self, name: str, query: SearchQuery) -> Collection:
        while True:
            collection = await self._catalog.find(name)
            active = collection.active
            if query.expect_space in (None, active.fingerprint):
                return collection
            if not await self._changed(collection):
                raise errors.SpaceMismatch(
                    str(query.expect_space), active.fingerprint, active.model_id
                )

    async def _changed(self, collection: Collection) -> bool:
        """Whether the active index is another one by now."""
        self._catalog.forget(collection.row.name)
        current = await self._catalog.find(collection.row.name)
        return current.active.id != collection.active.id

    async def _encode(self, collection: Collection, text: str) -> Encoded:
        active = collection.active
        with self._models.for_index(active) as loaded:
            encoded = await loaded.model.encode_query(text)
        if loaded.space_of(encoded) != active.space_id:
            raise IndexChanged(active.table)
        return encoded

    async def _nearest(
        self,
        collection: Collection,
        vector: NDArray[np.float32],
        query: SearchQuery,
        excluded: UUID | None = None,
    ) -> SearchAnswer:
        nearest = search.Query(
            vector=vector,
            limit=query.limit,
            exact=query.exact,
            condition=query.condition,
            excluded=excluded,
        )

        async def work() -> search.Nearest:
            async with self._engine.connect() as conn:
                return await search.nearest(conn, collection.active, nearest)

        return SearchAnswer(collection, await retries.reading(work))
