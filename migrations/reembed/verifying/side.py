"""One of the two indexes of a migration with its model, searched as it would be served."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding.errors import NoTokens, TextFailed
from indexing import percentile, retries
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
            await retries.read(self.engine, lambda conn: search.nearest(conn, self.index, query))
        ).hits

    async def distances(self, vector: Vector, k: int, *, ef_search: int | None) -> list[float]:
        """Of the nearest rows, exact where `ef_search` is None."""
        return await retries.read(
            self.engine,
            lambda conn: search.nearest_distances(conn, self.index, vector, k, ef_search=ef_search),
        )

    async def scores(self, vector: Vector, doc_keys: Collection[UUID]) -> dict[UUID, float]:
        """Of any documents that have vectors here."""
        return await retries.read(
            self.engine, lambda conn: search.score_documents(conn, self.index, vector, doc_keys)
        )


@dataclass(frozen=True)
class ComparedSides:
    """`old` is None where the source's model is not on this machine."""

    new: ComparedSide
    old: ComparedSide | None

    @property
    def all(self) -> list[ComparedSide]:
        return [self.new] if self.old is None else [self.new, self.old]


# Shapes that the encoder has not seen, pages that nobody has read.
_WARM_UP = 5


@dataclass
class SideResults:
    """What one side found for each query; `milliseconds` of encoding and searching."""

    found: list[list[Hit]] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)

    def latency(self) -> report.Latency:
        p50, p95 = (percentile.nearest_rank(self.milliseconds, percent) for percent in (50, 95))
        return report.Latency(p50_ms=p50, p95_ms=p95)


@dataclass(frozen=True)
class ComparedResults:
    new: SideResults
    old: SideResults | None

    def latencies(self) -> report.Latencies:
        old = None if self.old is None else self.old.latency()
        return report.Latencies(old=old, new=self.new.latency())


async def search_sides(sides: ComparedSides, texts: Sequence[str]) -> ComparedResults:
    """At least one text, each of which has a vector on both sides."""
    runs = [SideResults() for _ in sides.all]
    for text in texts[:_WARM_UP]:
        for side in sides.all:
            await _search(side, text, SideResults())
    for no, text in enumerate(texts):
        turn = list(zip(sides.all, runs, strict=True))
        # Whoever comes second has the processor's caches against it.
        for side, one in reversed(turn) if no % 2 else turn:
            await _search(side, text, one)
    return ComparedResults(runs[0], None if sides.old is None else runs[1])


async def _search(side: ComparedSide, text: str, into: SideResults) -> None:
    started = time.perf_counter()
    vector = await side.encode(text)
    hits = [] if vector is None else await side.nearest(vector, AT)
    into.milliseconds.append(1e3 * (time.perf_counter() - started))
    into.found.append(hits)
