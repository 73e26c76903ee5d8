"""Slows a worker's backfill for live searches and a maximum rate, and stops it for a command."""

import asyncio
import collections
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from indexing import tasks
from indexing.replica import Replica
from migrations.reembed.migration import Migration, Options
from storage import migrations, replicas

_CHECK_EVERY_S = 1.0
_RATE_WINDOW_S = 10.0
# The rate needs at least two batches after the entry that marks when counting began.
_MIN_BATCHES = 3
# Slow down at once and speed up gradually: people notice slow searches.
_SLOWER = 0.6
_FASTER = 1.25
_MIN_SHARE = 0.02
# Below this part of the p95 bound the backfill speeds up again; above it, it keeps its pace.
_CALM = 0.7
# Not longer, since searches may have become calm meanwhile.
_MAX_REST_S = 5.0


class Pace:
    """`share` of the time in which the backfill works; 1 if nothing slows it down."""

    def __init__(self) -> None:
        self.share = 1.0

    def adjust(self, p95_ms: float | None, bound_ms: float | None) -> None:
        """Call once a second with the searches' p95, or None if there are none."""
        if bound_ms is None or p95_ms is None:
            self.share = min(1.0, self.share * _FASTER) if bound_ms is not None else 1.0
        elif p95_ms > bound_ms:
            self.share = max(_MIN_SHARE, self.share * _SLOWER)
        elif p95_ms < _CALM * bound_ms:
            self.share = min(1.0, self.share * _FASTER)

    def rest_s(self, busy_s: float) -> float:
        """How long to rest after working for `busy_s`: five seconds at most."""
        return min(_MAX_REST_S, busy_s * (1 / self.share - 1))


class Throttle:
    """Checks the migration's state and options, and the speed of searches, once a second.

    `stopped` once the migration has left the state that it was in at the start.
    """

    def __init__(self, engine: AsyncEngine, migration: Migration, replica: Replica) -> None:
        self._halted = asyncio.Event()
        self._rate_changed = asyncio.Event()
        self._engine = engine
        self._id = migration.id
        self._state = migration.state
        self._options = migration.options
        self._replica = replica
        self._pace = Pace()
        self._rest_s = 0.0
        self._batches = collections.deque([(time.monotonic(), 0)])

    @property
    def stopped(self) -> bool:
        return self._halted.is_set()

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Check in the background during the block."""
        checks = tasks.every(_CHECK_EVERY_S, self._check, name="throttle")
        task = asyncio.create_task(checks, name="throttle")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._replica.facts.pop(str(self._id), None)

    async def wait_for_turn(self, chunks: int) -> None:
        """Wait until a batch of this many chunks may begin, or the backfill is stopped."""
        rest_s, self._rest_s = self._rest_s, 0.0
        await self._sleep(rest_s, asyncio.Event())
        while not self.stopped and (rate := self._options.max_rate) is not None:
            rate_changed = self._rate_changed
            async with self._engine.begin() as conn:
                wait_s = await migrations.take_turn(conn, self._id, chunks=chunks, rate=rate)
            await self._sleep(wait_s, rate_changed)
            if not rate_changed.is_set():
                return

    async def _sleep(self, wait_s: float, wake: asyncio.Event) -> None:
        """Ends early if `wake` is set or the backfill is stopped."""
        if wait_s <= 0 or self.stopped:
            return
        waits = [asyncio.ensure_future(event.wait()) for event in (self._halted, wake)]
        try:
            await asyncio.wait(waits, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def record_batch(self, chunks: int, seconds: float) -> None:
        """Call after a batch was written."""
        self._batches.append((time.monotonic(), chunks))
        self._rest_s += self._pace.rest_s(seconds)

    def rate(self) -> float:
        """Chunks per second in this process, over ten seconds or at least two batches."""
        now = time.monotonic()
        since = now - _RATE_WINDOW_S
        while len(self._batches) > _MIN_BATCHES and self._batches[1][0] < since:
            self._batches.popleft()
        (began, _), *batches = self._batches
        return sum(chunks for _, chunks in batches) / max(1.0, now - began)

    async def _check(self) -> None:
        async with self._engine.connect() as conn:
            row = await migrations.by_id(conn, self._id)
            live = await replicas.live(conn)
        if row is None or row.state != self._state:
            self._halted.set()
            return
        options = Options.from_stored(row.options)
        if options.max_rate != self._options.max_rate:
            self._rate_changed.set()
            self._rate_changed = asyncio.Event()
        self._options = options
        self._pace.adjust(slowest_p95_ms(live), self._options.query_p95_ms)
        self._replica.facts[str(self._id)] = {"rate": self.rate(), "pace": self._pace.share}


def slowest_p95_ms(live: Sequence[replicas.ReplicaRow]) -> float | None:
    """The highest search p95 of the serving processes; None if there were no searches."""
    values = [replica.facts.get("query_p95_ms") for replica in live if replica.serves]
    return max((float(value) for value in values if isinstance(value, int | float)), default=None)
