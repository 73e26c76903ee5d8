"""Collections as a write or a search needs them: with their active index, kept for a second."""

import dataclasses
import time
from collections.abc import Sequence

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from embedding.text.chunking import CHUNKER_VERSION, Chunking
from indexing import retries
from indexing.models.loaded import Loaded
from storage import collections, errors, fence, indexes
from storage.collections import CollectionRow
from storage.indexes import IndexChunking, IndexRow

log = structlog.get_logger()

# A stale entry is harmless: a statement asserts the index that it was made for, and who refuses
# something without one looks again. The bound keeps a collection's HNSW from being unused for long
# after it was built elsewhere.
_KEPT_S = 1.0


@dataclasses.dataclass(frozen=True)
class Collection:
    """A collection and the index that answers its searches."""

    row: CollectionRow
    active: IndexRow


def index_chunking(chunking: Chunking) -> IndexChunking:
    """What an index records of a chunking that was resolved for its model."""
    return IndexChunking(
        chunking.strategy, chunking.size, chunking.overlap or 0, chunker_version=CHUNKER_VERSION
    )


def chunking_of(index: IndexRow) -> Chunking:
    return Chunking.from_dict(
        {"strategy": index.strategy, "size": index.size, "overlap": index.overlap}
    )


class Catalog:
    def __init__(self, engine: AsyncEngine, *, kept_s: float = _KEPT_S) -> None:
        self._engine = engine
        self._kept_s = kept_s
        self._kept: dict[str, tuple[float, Collection]] = {}

    async def find(self, name: str, *, to_write: bool = False) -> Collection:
        """Raises CollectionNotFound, Busy; a write waits for the database as long as it may."""
        kept = self._kept.get(name)
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        again = retries.writing if to_write else retries.reading
        found = await again(lambda: self._read(name))
        self._kept[name] = (time.monotonic() + self._kept_s, found)
        return found

    async def _read(self, name: str) -> Collection:
        async with self._engine.connect() as conn:
            row = await collections.find(conn, name)
            active = await indexes.by_id(conn, row.active_index_id)
        if active is None:
            raise errors.CollectionNotFound(name)
        return Collection(row, active)

    def forget(self, name: str) -> None:
        """The entry was found to be stale."""
        self._kept.pop(name, None)

    async def create(
        self, name: str, loaded: Loaded, chunking: Chunking
    ) -> tuple[Collection, bool]:
        """The collection and whether it is new; CollectionExists if it has other properties.

        `chunking` is resolved for the model: its size and overlap are numbers.
        """
        try:
            async with self._engine.begin() as conn:
                await self._make(conn, name, loaded, chunking)
            created = True
        except IntegrityError:
            created = False
        self.forget(name)
        found = await self.find(name)
        if not created:
            _compare(found, loaded, chunking)
        return found, created

    async def _make(
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
        """Take the collection away at once; its rows go in the background. CollectionNotFound."""

        async def remove() -> None:
            async with self._engine.begin() as conn:
                await fence.close(conn)
                found = await collections.find(conn, name)
                await collections.remove(conn, found.id)

        await retries.writing(remove)
        self.forget(name)

    async def page(self, after: str | None, limit: int) -> Sequence[Collection]:
        async with self._engine.connect() as conn:
            rows = await collections.page(conn, after, limit)
            found = [(row, await indexes.by_id(conn, row.active_index_id)) for row in rows]
        return [Collection(row, active) for row, active in found if active is not None]


def _compare(found: Collection, loaded: Loaded, chunking: Chunking) -> None:
    differing = []
    if found.active.space_id != loaded.space_id:
        differing.append(f"space {found.active.fingerprint} ({found.active.model_id})")
    if chunking_of(found.active) != chunking:
        differing.append(f"chunking {dataclasses.asdict(chunking_of(found.active))}")
    if differing:
        raise errors.CollectionExists(
            f"the collection {found.row.name!r} exists with {' and '.join(differing)}"
        )
