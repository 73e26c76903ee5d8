"""Recent searches of this process: how long they took, and a sample of their texts."""

import collections
import functools
import random
import time
from collections.abc import Callable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from indexing import figures, tasks
from storage import query_samples

# Long enough to hold some searches, short enough that a backfill slows down in time.
_WINDOW_S = 10.0
_STORE_EVERY_S = 5.0
_MIN_SEARCHES = 5
_MAX_TIMES = 2000
# Sampled texts of each collection between two calls of `store`, each search equally likely.
_SAMPLE_SIZE = 20
_MAX_COLLECTIONS = 1000
# Longer texts are usually whole documents, to which somebody seeks similar ones.
_MAX_CHARS = 2000


class QueryLog:
    """Latencies in memory and, if `keeps`, sampled texts in the database.

    A re-embed migration is verified with these texts.
    """

    def __init__(self, *, keeps: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._keeps = keeps
        self._clock = clock
        self._times: collections.deque[tuple[float, float]] = collections.deque(maxlen=_MAX_TIMES)
        self._texts: dict[UUID, list[str]] = {}
        self._seen: collections.Counter[UUID] = collections.Counter()

    def note(self, collection_id: UUID, text: str, seconds: float) -> None:
        """Record one answered search by text."""
        self._times.append((self._clock(), seconds))
        if not self._keeps or len(text) > _MAX_CHARS:
            return
        sample = self._texts.setdefault(collection_id, [])
        self._seen[collection_id] += 1
        if len(sample) < _SAMPLE_SIZE:
            sample.append(text)
        elif (position := random.randrange(self._seen[collection_id])) < _SAMPLE_SIZE:  # noqa: S311
            sample[position] = text
        if len(self._texts) > _MAX_COLLECTIONS:
            self._forget()

    def p95_ms(self) -> float | None:
        """The 95th percentile of the last ten seconds; None if there were too few searches."""
        since = self._clock() - _WINDOW_S
        recent = [seconds for at, seconds in list(self._times) if at >= since]
        if len(recent) < _MIN_SEARCHES:
            return None
        return 1e3 * figures.nearest_rank(recent, 95)

    async def run(self, engine: AsyncEngine) -> None:
        """Store the sample regularly, until cancelled."""
        store = functools.partial(self.store, engine)
        await tasks.every(_STORE_EVERY_S, store, name="query_log", pause_first=True)

    async def store(self, engine: AsyncEngine) -> None:
        """Store what was sampled since the last call."""
        samples = sorted(self._texts.items())
        self._forget()
        if samples:
            async with engine.begin() as conn:
                for collection_id, texts in samples:
                    await query_samples.record(conn, collection_id, texts)

    def _forget(self) -> None:
        self._texts = {}
        self._seen.clear()
