"""Removes what nobody can reach any more: tables of retired indexes, documents left behind."""

import asyncio

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from storage import collections, indexes, vectors
from storage import engine as database

log = structlog.get_logger()

_EVERY_S = 5.0
_AT_ONCE = 5000


class Sweeper:
    """A task of the process. `wake` after something was deleted."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._woken = asyncio.Event()
        self._woken.set()

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            # Searches under way may still read the tables of what was deleted just now.
            await asyncio.sleep(_EVERY_S)
            try:
                await self.sweep()
            except Exception as error:  # it is swept again
                self._woken.set()
                if not database.is_unavailable(error):
                    log.exception("sweep_failed")

    async def sweep(self) -> None:
        async with self._engine.connect() as conn:
            retired = await indexes.in_state(conn, "retired")
        for index in retired:
            try:
                async with self._engine.begin() as conn:
                    await vectors.drop_table(conn, index.id)
                    await indexes.forget(conn, index.id)
            except DBAPIError as error:
                if not database.is_conflict(error):
                    raise
                self._woken.set()
        while True:
            async with self._engine.begin() as conn:
                if await collections.sweep(conn, _AT_ONCE) < _AT_ONCE:
                    return
