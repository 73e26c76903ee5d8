"""What a worker's backfill is held back by: live searches, a bound of its rate, a pause."""

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

_LOOK_EVERY_S = 1.0
_RATE_WINDOW_S = 10.0
# The one that ended when the time began, and those since.
_LEAST_BATCHES = 3


class Throttle:
    """Looks once a second at the migration's state and options and at how searches are.

    `stopped` once the migration is in another state than that in which this was made.
    """

    def __init__(self, engine: AsyncEngine, found: Migration, presence: Replica) -> None:
        self._halted = asyncio.Event()
        self._changed = asyncio.Event()
        self._engine = engine
        self._id = found.id
        self._state = found.state
        self._options = found.options
        self._presence = presence
        self._pace = Pace()
        self._rest_s = 0.0
        self._done = collections.deque([(time.monotonic(), 0)])

    @property
    def stopped(self) -> bool:
        return self._halted.is_set()

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        looking = tasks.every(_LOOK_EVERY_S, self._look, name="throttle")
        task = asyncio.create_task(looking, name="throttle")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._presence.facts.pop(str(self._id), None)

    async def wait_for_turn(self, chunks: int) -> None:
        """Wait until a batch of so many chunks may begin, or all is stopped."""
        rest_s, self._rest_s = self._rest_s, 0.0
        await self._until_stopped(rest_s, asyncio.Event())
        while not self.stopped and (rate := self._options.max_rate) is not None:
            changed = self._changed
            async with self._engine.begin() as conn:
                wait_s = await migrations.take_turn(conn, self._id, chunks=chunks, rate=rate)
            if not await self._until_stopped(wait_s, changed):
                return

    async def _until_stopped(self, wait_s: float, changed: asyncio.Event) -> bool:
        """Whether the bound of the rate became another one while it waited."""
        if wait_s > 0 and not self.stopped:
            woken = [asyncio.ensure_future(event.wait()) for event in (self._halted, changed)]
            try:
                await asyncio.wait(woken, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in woken:
                    one.cancel()
        return changed.is_set()

    def record_batch(self, chunks: int, seconds: float) -> None:
        """A batch was written."""
        self._done.append((time.monotonic(), chunks))
        self._rest_s += self._pace.rest_s(seconds)

    def rate(self) -> float:
        """Chunks a second of this process, over the last ten or the last two batches."""
        now = time.monotonic()
        since = now - _RATE_WINDOW_S
        while len(self._done) > _LEAST_BATCHES and self._done[1][0] < since:
            self._done.popleft()
        (began, _), *batches = self._done
        return sum(chunks for _, chunks in batches) / max(1.0, now - began)

    async def _look(self) -> None:
        async with self._engine.connect() as conn:
            row = await migrations.by_id(conn, self._id)
            others = await replicas.live(conn)
        if row is None or row.state != self._state:
            self._halted.set()
            return
        options = Options.from_stored(row.options)
        if options.max_rate != self._options.max_rate:
            self._changed.set()
            self._changed = asyncio.Event()
        self._options = options
        self._pace.adjust(slowest_p95_ms(others), self._options.query_p95_ms)
        self._presence.facts[str(self._id)] = {"rate": self.rate(), "pace": self._pace.share}


def slowest_p95_ms(others: Sequence[replicas.ReplicaRow]) -> float | None:
    """The highest p95 of the processes that serve, in milliseconds."""
    found = [one.facts.get("query_p95_ms") for one in others if one.serves]
    known = [float(value) for value in found if isinstance(value, int | float)]
    return max(known, default=None)


# Slower at once, faster by and by: searches that are slow are noticed by people.
_SLOWER = 0.6
_FASTER = 1.25
_LEAST = 0.02
# The band: below this part of the bound it speeds up again, between it stays as it is.
_CALM = 0.7
# It ends before long, since searches may have become calm meanwhile.
_LONGEST_REST_S = 5.0


class Pace:
    """`share` of the time in which the backfill works, 1 where nothing holds it back."""

    def __init__(self) -> None:
        self.share = 1.0

    def adjust(self, p95_ms: float | None, bound_ms: float | None) -> None:
        """Once a second: from the searches' p95, None where nobody searches."""
        if bound_ms is None or p95_ms is None:
            self.share = min(1.0, self.share * _FASTER) if bound_ms is not None else 1.0
        elif p95_ms > bound_ms:
            self.share = max(_LEAST, self.share * _SLOWER)
        elif p95_ms < _CALM * bound_ms:
            self.share = min(1.0, self.share * _FASTER)

    def rest_s(self, busy_s: float) -> float:
        """How long to do nothing after so long at work: five seconds at most."""
        return min(_LONGEST_REST_S, busy_s * (1 / self.share - 1))
