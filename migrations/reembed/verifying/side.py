"""One of the two indexes of a migration with its model, searched as it would be served."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding.errors import NoTokens, TextFailed
from indexing import retries
from indexing.loaded import Loaded
from migrations.reembed import reading
from storage import scores, search
from storage.errors import IndexChanged
from storage.indexes import IndexRow

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Side:
    """`engine` is in autocommit: no transaction is open while the model runs."""

    engine: AsyncEngine
    index: IndexRow
    loaded: Loaded

    async def encode(self, text: str) -> Vector | None:
        """The query's vector, (dimensions,); None for a text that can have none."""
        try:
            encoded = await retries.when_free(lambda: self.loaded.model.encode_query(text))
        except (NoTokens, TextFailed):
            return None
        if self.loaded.space_of(encoded) != self.index.space_id:
            raise IndexChanged(self.index.table)
        vector: Vector = encoded.vectors[0]
        return vector

    async def nearest(self, vector: Vector, limit: int, *, exact: bool = False) -> list[search.Hit]:
        query = search.Query(vector=vector, limit=limit, exact=exact, as_active=False)
        return (
            await reading.read(self.engine, lambda conn: search.nearest(conn, self.index, query))
        ).hits

    async def distances(self, vector: Vector, k: int, *, ef_search: int | None) -> list[float]:
        """Of the nearest rows, exact where `ef_search` is None."""
        return await reading.read(
            self.engine,
            lambda conn: search.distances(conn, self.index, vector, k, ef_search=ef_search),
        )

    async def scores(self, vector: Vector, doc_keys: Collection[UUID]) -> dict[UUID, float]:
        """Of any documents that have vectors here."""
        return await reading.read(
            self.engine, lambda conn: scores.of(conn, self.index, vector, doc_keys)
        )


@dataclass(frozen=True)
class Sides:
    """`old` is None where the source's model is not on this machine."""

    new: Side
    old: Side | None

    @property
    def all(self) -> list[Side]:
        return [self.new] if self.old is None else [self.new, self.old]
