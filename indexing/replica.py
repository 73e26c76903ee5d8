"""This process as one replica of the service: it serves only while it is registered."""

import asyncio
import contextlib
import os
import socket
import time
import uuid

from sqlalchemy.ext.asyncio import AsyncEngine

from indexing import errors, tasks
from indexing.models.pool import ModelPool
from indexing.query_log import QueryLog
from storage import engine as database
from storage import replicas

_EVERY_S = 1.0
_TTL_S = 10.0
# It stops serving this long before others consider it gone: clocks drift a little.
_MARGIN_S = 2.0
# How long a search waits for the row of its process to be renewed.
_PATIENCE_S = 4.0


class Replica:
    """Registers the process in the database and keeps its row alive; `run` is its task.

    The cutover of a migration waits until every process that serves has loaded the target. A
    process that does not renew its row in time is not waited for, and has stopped serving by then.
    `facts` are written into the row for others; `lacking`: ids of the spaces that other processes
    serve and this one has no model for.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        models: ModelPool,
        query_log: QueryLog,
        *,
        serves: bool,
        works: bool = True,
    ) -> None:
        """The process `serves` searches, `works` on migrations, or both."""
        self._engine = engine
        self._models = models
        self._query_log = query_log
        self._serves = serves
        self._id = uuid.uuid4()
        self._until = 0.0
        self._renewed = asyncio.Event()
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.facts: dict[str, object] = {"works": works}
        self.lacking: frozenset[int] = frozenset()

    @property
    def is_registered(self) -> bool:
        return time.monotonic() < self._until

    async def require_registered(self) -> None:
        """To be called before anything is served. Raises Busy if the row is not renewed in time."""
        if self.is_registered:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                while not self.is_registered:
                    self._renewed.clear()
                    await self._renewed.wait()
        if not self.is_registered:
            raise errors.Busy(
                "the database can't be reached at the moment; try again in a few seconds"
            )

    async def run(self) -> None:
        """Until cancelled; then it unregisters, so that others need not wait for it."""
        try:
            await tasks.every(_EVERY_S, self.heartbeat, name="replica")
        finally:
            self._until = 0.0
            with contextlib.suppress(*database.FAILURES):
                async with asyncio.timeout(1), self._engine.begin() as conn:
                    await replicas.unregister(conn, self._id)

    async def heartbeat(self) -> None:
        """Register, or stay registered."""
        started = time.monotonic()
        space_ids = sorted({loaded.space_id for loaded in self._models.loaded})
        facts = {**self.facts, "query_p95_ms": self._query_log.p95_ms()}
        row = replicas.ReplicaRow(self._id, self.name, self._serves, space_ids, facts)
        async with self._engine.begin() as conn:
            await replicas.heartbeat(conn, row, _TTL_S)
            served = await replicas.served_spaces(conn)
            await replicas.remove_expired(conn)
        self.lacking = served - set(space_ids)
        if self.lacking:
            self._models.wake()
        self._until = started + _TTL_S - _MARGIN_S
        self._renewed.set()
