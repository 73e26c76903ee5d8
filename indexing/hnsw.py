"""Builds each index's HNSW when it pays, and tunes its ef_search to the recall promised."""

import asyncio
import contextlib
import dataclasses
import random
import time

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from embedding.errors import NoTokens, TextFailed
from indexing.indexer import Indexer
from indexing.models import Models
from storage import engine as database
from storage import hnsw, indexes, search, vectors
from storage.indexes import IndexRow

log = structlog.get_logger()

_EVERY_S = 1.0
# A build that failed (a full disk, say) is tried again after this, and by a new process.
_AGAIN_AFTER_S = 600.0
# Rows a second above which somebody is loading in bulk: the build waits for the end of it.
_BULK_ROWS_S = 100
# Looks without a trace after which a build, or a tuning, is taken for abandoned.
_BUILD_LOOKS = 10
_TUNING_LOOKS = 120
_CALIBRATION_QUERIES = 200
_CANDIDATES = (40, 60, 80, 100, 120, 160, 200, 300, 400, 600, 800, 1000)
_K = 10


@dataclasses.dataclass(frozen=True)
class Tuned:
    """The least ef_search whose recall@10, over `queries` queries, reaches the target."""

    ef_search: int
    recall: float | None
    queries: int


class HnswKeeper:
    """A task of the serving process; any number of them share the work through the database."""

    def __init__(
        self,
        engine: AsyncEngine,
        models: Models,
        indexer: Indexer,
        *,
        min_rows: int,
        target_recall: float,
        workers: int,
    ) -> None:
        self._engine = engine
        self._models = models
        self._indexer = indexer
        self._min_rows = min_rows
        self._target_recall = target_recall
        self._workers = workers
        self._inserted: dict[int, int] = {}
        self._abandoned: dict[int, int] = {}
        self._again_at: dict[int, float] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.tick()
            except Exception as error:  # it is looked at again
                if not database.is_unavailable(error):
                    log.exception("hnsw_keeper_failed")
            await asyncio.sleep(_EVERY_S)

    async def tick(self) -> None:
        """Look at every active index once; build at most one."""
        async with self._engine.connect() as conn:
            active = await indexes.in_state(conn, "active")
            due = [index for index in active if await self._is_due(conn, index)]
            await self._give_back_abandoned(conn, active)
            await conn.commit()
        for index in due:
            async with self._engine.begin() as conn:
                claimed = await hnsw.claim(conn, index.id)
            if claimed:
                await self._build(index)
                return

    async def _is_due(self, conn: AsyncConnection, index: IndexRow) -> bool:
        if index.hnsw != "none" or self._indexer.streams:
            return False
        if index.hnsw_error and time.monotonic() < self._again_at.get(index.id, 0.0):
            return False
        if index.dimensions > vectors.MAX_HNSW_DIMENSIONS:
            return False
        before = self._inserted.get(index.id)
        now = self._inserted[index.id] = await hnsw.inserted(conn, index.id)
        if before is None or now - before > _BULK_ROWS_S * _EVERY_S:
            return False
        return await vectors.has_rows(conn, index.id, max(1, self._min_rows))

    async def _give_back_abandoned(self, conn: AsyncConnection, active: list[IndexRow]) -> None:
        """A build is abandoned when nothing of it is seen for many looks in a row.

        An index that is whole is being tuned, of which PostgreSQL shows nothing.
        """
        for index in active:
            if index.hnsw != "building" or await hnsw.progress(conn, index.id) is not None:
                self._abandoned.pop(index.id, None)
                continue
            looks = self._abandoned[index.id] = self._abandoned.get(index.id, 0) + 1
            most = _TUNING_LOOKS if await hnsw.is_valid(conn, index.id) else _BUILD_LOOKS
            if looks > most and await hnsw.release_abandoned(conn, index.id):
                log.warning("hnsw_build_abandoned", index=index.id)

    async def _build(self, index: IndexRow) -> None:
        async with self._engine.connect() as conn:
            rows = await hnsw.inserted(conn, index.id)
        log.info("hnsw_build_started", index=index.id, rows=rows)
        try:
            await hnsw.build(self._engine, index, workers=self._workers, rows=rows)
            tuned = await self._tune(index)
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

    async def _tune(self, index: IndexRow) -> Tuned:
        """Measure recall against exact search for growing ef_search."""
        ready = dataclasses.replace(index, hnsw="ready")
        queries = await self._queries(index)
        if not queries:
            return Tuned(search.MIN_EF_SEARCH, None, 0)
        autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        async with autocommit.connect() as conn:
            truth = [
                await search.neighbours(conn, ready, vector, _K, ef_search=None)
                for vector in queries
            ]
            recall = 0.0
            for ef_search in _CANDIDATES:
                found = [
                    await search.neighbours(conn, ready, vector, _K, ef_search=ef_search)
                    for vector in queries
                ]
                recall = _recall(truth, found)
                if recall >= self._target_recall:
                    break
        return Tuned(ef_search, recall, len(queries))

    async def _queries(self, index: IndexRow) -> list[NDArray[np.float32]]:
        """Encoded queries in the collection's own words, none of them a text of its own.

        Fragments of one text lie next to it and are found too easily: they gave 0.988 at an
        ef_search where real questions had 0.958 (117,659 short texts). Joined fragments of two
        texts predict real questions to 0.01.
        """
        if not self._models.has(index.space_id):
            return []
        async with self._engine.connect() as conn:
            texts = await vectors.sample_texts(conn, index, 2 * _CALIBRATION_QUERIES)
        half = len(texts) // 2
        queries = [
            f"{_fragment(one)} {_fragment(other)}"
            for one, other in zip(texts[:half], texts[half:], strict=False)
        ]
        encoded = []
        with self._models.held(
            index.space_id, model_id=index.model_id, fingerprint=index.fingerprint
        ) as loaded:
            for query in queries:
                with contextlib.suppress(NoTokens, TextFailed):
                    encoded.append((await loaded.model.encode_query(query)).vectors[0])
        return encoded


def _fragment(text: str) -> str:
    """One to four words in a row."""
    words = text.split()
    count = random.randint(1, 4)  # noqa: S311 - no secret
    start = random.randint(0, max(0, len(words) - count))  # noqa: S311
    return " ".join(words[start : start + count])


def _recall(truth: list[list[search.Neighbour]], found: list[list[search.Neighbour]]) -> float:
    hits = sum(len(set(a) & set(b)) for a, b in zip(truth, found, strict=True))
    return hits / max(1, sum(len(a) for a in truth))
