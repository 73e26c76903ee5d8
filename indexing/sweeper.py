"""Deletes what nothing refers to any more: tables of retired indexes, orphaned documents."""

import asyncio
import functools
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from indexing import tasks
from storage import collections, indexes, vector_tables, vectors
from storage import engine as database
from storage.adoption import staging

_GRACE_S = 5.0
_LOOK_EVERY_S = 15.0
_ROWS_AT_ONCE = 5000


class Sweeper:
    """A background task of the process; call `wake` after something was deleted."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._woken = asyncio.Event()
        self._is_due = True

    def wake(self) -> None:
        self._is_due = True
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        await tasks.every(_LOOK_EVERY_S, self._tick, name="sweep", wake=self._woken)

    async def _tick(self) -> None:
        if not (self._is_due or await self._has_retired()):
            return
        self._is_due = False
        # Running searches may still read the tables of what was just deleted.
        await asyncio.sleep(_GRACE_S)
        try:
            await self.sweep()
        except Exception:
            self.wake()  # swept again after the grace period alone
            raise

    async def _has_retired(self) -> bool:
        """Whether another process, which has no sweeper, has retired a table."""
        async with self._engine.connect() as conn:
            return bool(await indexes.in_state(conn, "retired"))

    async def sweep(self) -> None:
        """Delete everything that can be deleted now; a table still in use is tried again later."""
        async with self._engine.begin() as conn:
            await staging.clear(conn)
        async with self._engine.connect() as conn:
            retired = await indexes.in_state(conn, "retired")
        for index in retired:
            try:
                async with self._engine.begin() as conn:
                    await vector_tables.drop(conn, index.id)
                    await indexes.remove(conn, index.id)
            except DBAPIError as error:
                if not database.is_conflict(error):
                    raise
                self.wake()
        await self._repeat(collections.sweep)
        async with self._engine.connect() as conn:
            live = await indexes.in_state(conn, *indexes.LIVE)
        for index in live:
            await self._repeat(functools.partial(_sweep_orphans, index_id=index.id))

    async def _repeat(self, step: Callable[[AsyncConnection, int], Awaitable[int]]) -> None:
        """Delete in many short transactions, each a bounded number of rows, until few are left."""
        while True:
            async with self._engine.begin() as conn:
                if await step(conn, _ROWS_AT_ONCE) < _ROWS_AT_ONCE:
                    return


async def _sweep_orphans(conn: AsyncConnection, limit: int, *, index_id: int) -> int:
    return await vectors.sweep_orphans(conn, index_id, limit)
