"""Builds the HNSW index of one index, and tunes its ef_search to the promised recall."""

import contextlib
import dataclasses
import functools
import random
from collections.abc import AsyncIterator

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from embedding.errors import NoTokens, TextFailed
from indexing import retries
from indexing.hnsw.recall import recall
from indexing.models.pool import ModelPool
from storage import hnsw, query_samples, search, vectors
from storage.indexes import IndexRow

_CALIBRATION_QUERIES = 200
# Fewer recent searches than this say nothing about recall.
_MIN_SEARCHES = 50
_CANDIDATES = (40, 60, 80, 100, 120, 160, 200, 300, 400, 600, 800, 1000)
_K = 10


@dataclasses.dataclass(frozen=True)
class Tuned:
    """The smallest ef_search whose recall@10, over `queries` queries, reaches the target."""

    ef_search: int
    recall: float | None
    queries: int


class HnswBuilder:
    """`workers`: parallel processes that PostgreSQL may use for a build."""

    def __init__(
        self, engine: AsyncEngine, models: ModelPool, *, target_recall: float, workers: int
    ) -> None:
        self._engine = engine
        self._models = models
        self._target_recall = target_recall
        self._workers = workers

    async def build(self, index: IndexRow, rows: int) -> Tuned:
        await hnsw.build(self._engine, index, workers=self._workers, rows=rows)
        return await self.tune(index)

    async def tune(self, index: IndexRow, target_recall: float | None = None) -> Tuned:
        """Raise ef_search until its recall against exact search reaches the target."""
        target = self._target_recall if target_recall is None else target_recall
        ready = dataclasses.replace(index, hnsw="ready")
        kinds = await self._queries(index)
        if not kinds:
            return Tuned(search.MIN_EF_SEARCH, None, 0)
        async with self._snapshot() as conn:
            truths = [await _distances(conn, ready, kind, None) for kind in kinds]
            for ef_search in _CANDIDATES:
                measured = [await _distances(conn, ready, kind, ef_search) for kind in kinds]
                reached = min(recall(*pair) for pair in zip(truths, measured, strict=True))
                if reached >= target:
                    break
        return Tuned(ef_search, reached, sum(map(len, kinds)))

    @contextlib.asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[AsyncConnection]:
        """Rows that change between the exact and the HNSW search would look like lost recall."""
        engine = self._engine.execution_options(isolation_level="REPEATABLE READ")
        async with engine.connect() as conn:
            try:
                yield conn
                await conn.commit()
            except BaseException:
                # A rollback resets ef_search, which the connection remembers as set.
                await conn.invalidate()
                raise

    async def _queries(self, index: IndexRow) -> list[list[NDArray[np.float32]]]:
        """Encoded queries of two kinds: made of the collection's own words, and recent searches.

        Each of the former joins fragments of two texts, which predicts the recall of real questions
        to 0.01. Fragments of one text lie next to it and are found too easily: they gave 0.988 at
        an ef_search where real questions had 0.958 (117,659 short texts).
        """
        if not self._models.has_space(index.space_id):
            return []
        async with self._engine.connect() as conn:
            texts = await vectors.sample_texts(conn, index, 2 * _CALIBRATION_QUERIES)
            searched = await query_samples.newest(conn, index.collection_id, _CALIBRATION_QUERIES)
        half = len(texts) // 2
        joined = [
            f"{_fragment(first)} {_fragment(second)}"
            for first, second in zip(texts[:half], texts[half:], strict=False)
        ]
        kinds = [joined, searched if len(searched) >= _MIN_SEARCHES else []]
        encoded = [await self._encode(index, kind) for kind in kinds]
        return [kind for kind in encoded if kind]

    async def _encode(self, index: IndexRow, texts: list[str]) -> list[NDArray[np.float32]]:
        encoded = []
        with self._models.for_index(index) as loaded:
            for query in texts:
                work = functools.partial(loaded.model.encode_query, query)
                with contextlib.suppress(NoTokens, TextFailed):
                    encoded.append((await retries.when_free(work)).vectors[0])
        return encoded


async def _distances(
    conn: AsyncConnection,
    index: IndexRow,
    vectors_: list[NDArray[np.float32]],
    ef_search: int | None,
) -> list[list[float]]:
    return [
        await search.nearest_distances(conn, index, vector, _K, ef_search=ef_search)
        for vector in vectors_
    ]


def _fragment(text: str) -> str:
    """One to four words in a row."""
    words = text.split()
    count = random.randint(1, 4)  # noqa: S311 - no secret
    start = random.randint(0, max(0, len(words) - count))  # noqa: S311
    return " ".join(words[start : start + count])
