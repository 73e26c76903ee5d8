"""Builds and tunes the HNSW index of a target after its backfill, without blocking writes."""

import asyncio

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from indexing.hnsw.builder import HnswBuilder
from storage import hnsw, indexes, vectors
from storage.indexes import IndexRow

log = structlog.get_logger()

_LOOK_EVERY_S = 0.5
# Measured with 200 queries, recall is accurate to about half a percent.
_RECALL_MARGIN = 0.01
_MAX_RECALL = 0.999


class TargetBuilder:
    """With fewer than `min_rows` vectors nothing is built: searches scan all rows exactly."""

    def __init__(self, engine: AsyncEngine, builder: HnswBuilder, *, min_rows: int) -> None:
        self._engine = engine
        self._builder = builder
        self._min_rows = min_rows

    async def build(self, index: IndexRow) -> str:
        """Build it unless it exists; returns what was done, in words. Raises DBAPIError."""
        await self._wait_for_running_build(index)
        async with self._engine.connect() as conn:
            is_valid = await hnsw.is_valid(conn, index.id)
            rows = await vectors.count(conn, index.id)
        if index.dimensions > vectors.MAX_HNSW_DIMENSIONS:
            return f"{index.dimensions} dimensions are too many for HNSW: searches are exact"
        if rows < max(1, self._min_rows):
            return f"fewer than {self._min_rows:,} vectors: searches are exact"
        if index.hnsw == "ready" and is_valid:
            return "the HNSW index exists"
        async with self._engine.begin() as conn:
            await indexes.record_hnsw(conn, index.id, hnsw="building")
        log.info("hnsw_build_started", index=index.id, rows=rows, tuned_only=is_valid)
        if is_valid:  # the worker that built it was killed while tuning
            tuned = await self._builder.tune(index)
        else:
            tuned = await self._builder.build(index, rows)
        async with self._engine.begin() as conn:
            await indexes.record_hnsw(
                conn, index.id, hnsw="ready", ef_search=tuned.ef_search, recall=tuned.recall
            )
        log.info("hnsw_ready", index=index.id, ef_search=tuned.ef_search, recall=tuned.recall)
        recall = "unknown" if tuned.recall is None else f"{tuned.recall:.3f}"
        return f"HNSW built: recall {recall} at ef_search {tuned.ef_search}"

    async def retune(self, index: IndexRow, recall: float) -> None:
        """Raise ef_search: texts written since the build, and other queries, may need more."""
        tuned = await self._builder.tune(index, min(_MAX_RECALL, recall + _RECALL_MARGIN))
        ef_search = max(tuned.ef_search, index.ef_search or 0)
        async with self._engine.begin() as conn:
            await indexes.record_hnsw(
                conn, index.id, hnsw="ready", ef_search=ef_search, recall=tuned.recall
            )
        log.info("hnsw_tuned_again", index=index.id, ef_search=ef_search, recall=tuned.recall)

    async def _wait_for_running_build(self, index: IndexRow) -> None:
        """PostgreSQL continues a build even if the worker that started it was killed."""
        while True:
            async with self._engine.connect() as conn:
                if await hnsw.progress(conn, index.id) is None:
                    return
            await asyncio.sleep(_LOOK_EVERY_S)
