"""This process among the others: registered while it lives, and serving only while registered."""

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
# It stops serving so much before others take it for gone: clocks run apart a little.
_MARGIN_S = 2.0
# A search waits so long for the row of its process to be renewed.
_PATIENCE_S = 4.0


class Replica:
    """A task of the process.

    The cut-over of a migration waits until every process that serves has loaded the target. One
    that does not renew its row in time is not waited for, and by then serves no more.
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
        """It `serves` searches, `works` on migrations, or both."""
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
        """Before anything is served. Raises Busy where the row could not be renewed."""
        if self.is_registered:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                while not self.is_registered:
                    self._renewed.clear()
                    await self._renewed.wait()
        if not self.is_registered:
            raise errors.Busy(
                "the database cannot be reached at present; try again in a few seconds"
            )

    async def run(self) -> None:
        """Until cancelled; then others need not wait for it."""
        try:
            await tasks.every(_EVERY_S, self.heartbeat, name="replica")
        finally:
            self._until = 0.0
            with contextlib.suppress(*database.FAILURES):
                async with asyncio.timeout(1), self._engine.begin() as conn:
                    await replicas.unregister(conn, self._id)

    async def heartbeat(self) -> None:
        """Register, or stay registered."""
        begun = time.monotonic()
        loaded = sorted({one.space_id for one in self._models.loaded})
        facts = {**self.facts, "query_p95_ms": self._query_log.p95_ms()}
        row = replicas.ReplicaRow(self._id, self.name, self._serves, loaded, facts)
        async with self._engine.begin() as conn:
            await replicas.heartbeat(conn, row, _TTL_S)
            served = await replicas.served_spaces(conn)
            await replicas.remove_expired(conn)
        self.lacking = served - set(loaded)
        if self.lacking:
            self._models.wake()
        self._until = begun + _TTL_S - _MARGIN_S
        self._renewed.set()
