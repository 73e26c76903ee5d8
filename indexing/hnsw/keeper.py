"""Decides when an index gets its HNSW index, and releases abandoned builds."""

import asyncio
import time

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from indexing import tasks
from indexing.documents.indexer import Indexer
from indexing.hnsw.builder import HnswBuilder, Tuned
from storage import engine as database
from storage import hnsw, indexes, vectors
from storage.indexes import IndexRow

log = structlog.get_logger()

_EVERY_S = 1.0
# A failed build (a full disk, say) is tried again after this, or at once by a new process.
_AGAIN_AFTER_S = 600.0
# Above this rate of inserted rows somebody is loading in bulk: the build waits for the end.
_BULK_ROWS_S = 100
# A build, or a tuning, is abandoned after so many looks in a row that saw no sign of it.
_BUILD_LOOKS = 10
_TUNING_LOOKS = 120


class HnswKeeper:
    """A background task of a worker; any number of workers share the work through the database."""

    def __init__(
        self,
        engine: AsyncEngine,
        builder: HnswBuilder,
        indexer: Indexer,
        *,
        min_rows: int,
    ) -> None:
        self._engine = engine
        self._builder = builder
        self._indexer = indexer
        self._min_rows = min_rows
        self._inserted: dict[int, int] = {}
        self._too_few: dict[int, int] = {}
        self._abandoned: dict[int, int] = {}
        self._again_at: dict[int, float] = {}

    async def run(self) -> None:
        """Until cancelled."""
        await tasks.every(_EVERY_S, self.tick, name="hnsw_keeper")

    async def tick(self) -> None:
        """Look at every active index once; build at most one."""
        async with self._engine.connect() as conn:
            active = await indexes.in_state(conn, "active")
            possible = [index for index in active if self._is_possible(index)]
            inserted = await hnsw.count_inserted(conn, [index.id for index in possible])
            due = [
                index for index in possible if await self._is_due(conn, index, inserted[index.id])
            ]
            await self._release_abandoned(conn, active)
            await conn.commit()
        for index in due:
            async with self._engine.begin() as conn:
                claimed = await hnsw.claim(conn, index.id)
            if claimed:
                await self._build(index)
                return

    def _is_possible(self, index: IndexRow) -> bool:
        if index.hnsw != "none" or self._indexer.streams:
            return False
        if index.hnsw_error and time.monotonic() < self._again_at.get(index.id, 0.0):
            return False
        return index.dimensions <= vectors.MAX_HNSW_DIMENSIONS

    async def _is_due(self, conn: AsyncConnection, index: IndexRow, now: int) -> bool:
        """`now`: rows ever inserted. An index with too few is counted again once it has more."""
        before = self._inserted.get(index.id)
        self._inserted[index.id] = now
        if before is None or now - before > _BULK_ROWS_S * _EVERY_S:
            return False
        if self._too_few.get(index.id) == now:
            return False
        if await vectors.has_rows(conn, index.id, max(1, self._min_rows)):
            return True
        self._too_few[index.id] = now
        return False

    async def _release_abandoned(self, conn: AsyncConnection, active: list[IndexRow]) -> None:
        """Release builds that nobody works on any more.

        A complete index is being tuned, of which PostgreSQL shows nothing: it gets more time.
        """
        for index in active:
            if index.hnsw != "building" or await hnsw.progress(conn, index.id) is not None:
                self._abandoned.pop(index.id, None)
                continue
            looks = self._abandoned[index.id] = self._abandoned.get(index.id, 0) + 1
            max_looks = _TUNING_LOOKS if await hnsw.is_valid(conn, index.id) else _BUILD_LOOKS
            if looks > max_looks and await hnsw.release_abandoned(conn, index.id):
                log.warning("hnsw_build_abandoned", index=index.id)

    async def _build(self, index: IndexRow) -> None:
        async with self._engine.connect() as conn:
            rows = await vectors.count(conn, index.id)
        log.info("hnsw_build_started", index=index.id, rows=rows)
        try:
            tuned = await self._builder.build(index, rows)
        except asyncio.CancelledError:
            await asyncio.shield(self._record(index, "none"))
            raise
        except Exception as error:
            if database.is_unavailable(error):
                raise
            log.exception("hnsw_build_failed", index=index.id)
            self._again_at[index.id] = time.monotonic() + _AGAIN_AFTER_S
            await self._record(index, "none", error=str(error)[:500])
            return
        await self._record(index, "ready", tuned=tuned)
        log.info("hnsw_ready", index=index.id, ef_search=tuned.ef_search, recall=tuned.recall)

    async def _record(
        self, index: IndexRow, state: str, tuned: Tuned | None = None, error: str | None = None
    ) -> None:
        async with self._engine.begin() as conn:
            await indexes.record_hnsw(
                conn,
                index.id,
                hnsw=state,
                ef_search=tuned.ef_search if tuned else None,
                recall=tuned.recall if tuned else None,
                error=error,
            )
