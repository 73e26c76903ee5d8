"""One of a migration's two indexes with its model, searched as live searches would be."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding.errors import NoTokens, TextFailed
from indexing import figures, retries
from indexing.models.loaded import Loaded
from migrations.reembed.verifying import report
from migrations.reembed.verifying.comparison import AT
from storage import search
from storage.errors import IndexChanged
from storage.indexes import IndexRow
from storage.search import Hit

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class ComparedSide:
    """`engine` is in autocommit mode, so no transaction is open while the model runs."""

    engine: AsyncEngine
    index: IndexRow
    loaded: Loaded

    async def encode(self, text: str) -> Vector | None:
        """The query's vector, of shape (dimensions,); None if the text can't be embedded."""
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
            await retries.read(self.engine, lambda conn: search.nearest(conn, self.index, query))
        ).hits

    async def distances(self, vector: Vector, k: int, *, ef_search: int | None) -> list[float]:
        """Distances of the nearest rows; searched exactly if `ef_search` is None."""
        return await retries.read(
            self.engine,
            lambda conn: search.nearest_distances(conn, self.index, vector, k, ef_search=ef_search),
        )

    async def scores(self, vector: Vector, doc_keys: Collection[UUID]) -> dict[UUID, float]:
        """Scores of the given documents, as far as they have vectors here."""
        return await retries.read(
            self.engine, lambda conn: search.score_documents(conn, self.index, vector, doc_keys)
        )


@dataclass(frozen=True)
class ComparedSides:
    """`old` is None if the source's model is not on this machine."""

    new: ComparedSide
    old: ComparedSide | None

    @property
    def all(self) -> list[ComparedSide]:
        return [self.new] if self.old is None else [self.new, self.old]


# The encoder compiles for new lengths, and PostgreSQL reads pages for the first time.
_WARM_UP = 5


@dataclass
class SideResults:
    """The hits of each query on one side, and the `milliseconds` to encode and search."""

    hits: list[list[Hit]] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)

    def latency(self) -> report.Latency:
        p50, p95 = (figures.nearest_rank(self.milliseconds, percent) for percent in (50, 95))
        return report.Latency(p50_ms=p50, p95_ms=p95)


@dataclass(frozen=True)
class ComparedResults:
    """`old` is None without the source's model."""

    new: SideResults
    old: SideResults | None

    def latencies(self) -> report.Latencies:
        old = None if self.old is None else self.old.latency()
        return report.Latencies(old=old, new=self.new.latency())


async def search_sides(sides: ComparedSides, texts: Sequence[str]) -> ComparedResults:
    """Search for each text on both sides; needs at least one text."""
    results = [SideResults() for _ in sides.all]
    for text in texts[:_WARM_UP]:
        for side in sides.all:
            await _search(side, text, SideResults())
    for no, text in enumerate(texts):
        pairs = list(zip(sides.all, results, strict=True))
        # Alternate: the second search suffers from the CPU's caches.
        for side, into in reversed(pairs) if no % 2 else pairs:
            await _search(side, text, into)
    return ComparedResults(results[0], None if sides.old is None else results[1])


async def _search(side: ComparedSide, text: str, into: SideResults) -> None:
    started = time.perf_counter()
    vector = await side.encode(text)
    hits = [] if vector is None else await side.nearest(vector, AT)
    into.milliseconds.append(1e3 * (time.perf_counter() - started))
    into.hits.append(hits)
