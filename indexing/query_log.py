"""What searches of this process were like lately: how long they took, and what was asked."""

import collections
import functools
import random
import time
from collections.abc import Callable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from indexing import tasks
from storage import query_samples

# Old enough to hold some, young enough that a backfill slows down in time.
_WINDOW_S = 10.0
_KEEP_EVERY_S = 5.0
_LEAST = 5
_MOST = 2000
# Of each collection between two calls of `keep`; any search may be among them.
_SAMPLED = 20
_COLLECTIONS = 1000
# Longer ones are documents that somebody looks for the like of.
_LONGEST = 2000


class QueryLog:
    """`keeps`: texts are sampled and stored, to judge a re-embed migration by them."""

    def __init__(self, *, keeps: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._keeps = keeps
        self._clock = clock
        self._times: collections.deque[tuple[float, float]] = collections.deque(maxlen=_MOST)
        self._texts: dict[UUID, list[str]] = {}
        self._seen: collections.Counter[UUID] = collections.Counter()

    def note(self, collection_id: UUID, text: str, seconds: float) -> None:
        """One search by text was answered."""
        self._times.append((self._clock(), seconds))
        if not self._keeps or len(text) > _LONGEST:
            return
        kept = self._texts.setdefault(collection_id, [])
        self._seen[collection_id] += 1
        if len(kept) < _SAMPLED:
            kept.append(text)
        elif (place := random.randrange(self._seen[collection_id])) < _SAMPLED:  # noqa: S311
            kept[place] = text
        if len(self._texts) > _COLLECTIONS:
            self._forget()

    def p95_ms(self) -> float | None:
        """Of the last ten seconds; None where there were too few to tell."""
        since = self._clock() - _WINDOW_S
        recent = sorted(seconds for at, seconds in list(self._times) if at >= since)
        if len(recent) < _LEAST:
            return None
        return 1e3 * recent[min(len(recent) - 1, int(0.95 * len(recent)))]

    async def run(self, engine: AsyncEngine) -> None:
        """A task of the process that keeps the sample, until cancelled."""
        keep = functools.partial(self.keep, engine)
        await tasks.every(_KEEP_EVERY_S, keep, name="query_log", pause_first=True)

    async def keep(self, engine: AsyncEngine) -> None:
        """Store what was sampled since the last call."""
        sampled = sorted(self._texts.items())
        self._forget()
        if sampled:
            async with engine.begin() as conn:
                for collection_id, texts in sampled:
                    await query_samples.record(conn, collection_id, texts)

    def _forget(self) -> None:
        self._texts = {}
        self._seen.clear()
