"""Collections as writes and searches need them: with their active index, cached for a second."""

import dataclasses
import time
from collections.abc import Sequence

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from embedding.text.chunking import CHUNKER_VERSION, Chunking
from indexing import retries
from indexing.models.loaded import Loaded
from storage import collections, errors, fence, indexes
from storage.collections import CollectionRow
from storage.indexes import IndexChunking, IndexRow

# A stale entry is harmless: a statement asserts the index that it was made for, and code that
# refuses something without such a statement looks again. The bound keeps an HNSW index that another
# process built from staying unused for long.
_CACHED_S = 1.0


@dataclasses.dataclass(frozen=True)
class Collection:
    """A collection and the index that answers its searches."""

    row: CollectionRow
    active: IndexRow


def index_chunking(chunking: Chunking) -> IndexChunking:
    """What an index records of a chunking; `chunking` is resolved for its model."""
    return IndexChunking(
        chunking.strategy, chunking.size, chunking.overlap or 0, chunker_version=CHUNKER_VERSION
    )


def chunking_of(index: IndexRow) -> Chunking:
    return Chunking.from_dict(
        {"strategy": index.strategy, "size": index.size, "overlap": index.overlap}
    )


class Catalog:
    """Finds, creates and deletes collections by name."""

    def __init__(self, engine: AsyncEngine, *, cached_s: float = _CACHED_S) -> None:
        self._engine = engine
        self._cached_s = cached_s
        # By name, each with the time at which it expires.
        self._cached: dict[str, tuple[float, Collection]] = {}

    async def find(self, name: str, *, to_write: bool = False) -> Collection:
        """Raises CollectionNotFound, Busy; for a write it waits longer for the database."""
        cached = self._cached.get(name)
        if cached is not None and cached[0] > time.monotonic():
            return cached[1]
        retry = retries.writing if to_write else retries.reading
        collection = await retry(lambda: self._read(name))
        self._cached[name] = (time.monotonic() + self._cached_s, collection)
        return collection

    async def _read(self, name: str) -> Collection:
        async with self._engine.connect() as conn:
            row = await collections.find(conn, name)
            active = await indexes.by_id(conn, row.active_index_id)
        if active is None:
            raise errors.CollectionNotFound(name)
        return Collection(row, active)

    def forget(self, name: str) -> None:
        """Drop a cached entry that turned out to be stale."""
        self._cached.pop(name, None)

    async def create(
        self, name: str, loaded: Loaded, chunking: Chunking
    ) -> tuple[Collection, bool]:
        """The collection, and whether it is new.

        `chunking` is resolved for the model: its size and overlap are numbers. Raises
        CollectionExists if there is one of this name with another space or chunking.
        """
        try:
            async with self._engine.begin() as conn:
                await self._insert(conn, name, loaded, chunking)
            is_new = True
        except IntegrityError:
            is_new = False
        self.forget(name)
        collection = await self.find(name)
        if not is_new:
            _require_equal(collection, loaded, chunking)
        return collection, is_new

    async def _insert(
        self, conn: AsyncConnection, name: str, loaded: Loaded, chunking: Chunking
    ) -> None:
        collection_id = await collections.create(conn, name)
        index_id = await indexes.create(
            conn,
            collection_id=collection_id,
            space_id=loaded.space_id,
            dimensions=loaded.model.space.dimensions,
            chunking=index_chunking(chunking),
            state="active",
        )
        await collections.activate(conn, collection_id, index_id)

    async def delete(self, name: str) -> None:
        """Remove it at once; its rows go in the background. Raises CollectionNotFound, Busy."""

        async def remove() -> None:
            async with self._engine.begin() as conn:
                await fence.close(conn)
                row = await collections.find(conn, name)
                await collections.remove(conn, row.id)

        await retries.writing(remove)
        self.forget(name)

    async def page(self, after: str | None, limit: int) -> Sequence[Collection]:
        """Collections by name, from the first one after `after`."""
        async with self._engine.connect() as conn:
            rows = await collections.page(conn, after, limit)
            pairs = [(row, await indexes.by_id(conn, row.active_index_id)) for row in rows]
        return [Collection(row, active) for row, active in pairs if active is not None]


def _require_equal(existing: Collection, loaded: Loaded, chunking: Chunking) -> None:
    """Raises CollectionExists."""
    active = existing.active
    differences = []
    if active.space_id != loaded.space_id:
        differences.append(f"space {active.fingerprint} ({active.model_id})")
    if chunking_of(active) != chunking:
        differences.append(f"chunking {dataclasses.asdict(chunking_of(active))}")
    if differences:
        raise errors.CollectionExists(
            f"the collection {existing.row.name!r} exists with {' and '.join(differences)}"
        )
