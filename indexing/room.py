"""Room for models within a budget of memory: the least recently used one that may go, goes."""

import asyncio
import time
from collections.abc import Iterator

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from indexing import errors, memory, retries
from indexing.loaded import Loaded, LoadedModels
from storage import spaces

log = structlog.get_logger()

# How long a load waits for requests that use what would have to go.
_PATIENCE_S = 30.0


class Room:
    """Never taken away: the default, models of live indexes, and while a request uses it any."""

    def __init__(self, engine: AsyncEngine, loaded: LoadedModels, limit: int | None) -> None:
        self._engine = engine
        self._loaded = loaded
        self.limit = int(memory.available() * memory.SHARE) if limit is None else limit
        self._claimed: set[int] = set()

    def claim(self, space_id: int) -> None:
        """A live index of the space was made just now; said before its model is let go of."""
        self._claimed.add(space_id)

    async def make(self, name: str, needs: int, *, patience_s: float = _PATIENCE_S) -> None:
        """Unload models until `needs` bytes are free for `name`. Raises NoMemory, Busy."""
        deadline = time.monotonic() + patience_s
        while (excess := self._loaded.memory_bytes + needs - self.limit) > 0:
            kept = await self._kept()
            movable = [one for one in self._loaded if not self._stays(one, kept)]
            if sum(one.memory_bytes for one in movable) < excess:
                raise self._full(name, needs, kept)
            free = [one for one in movable if not one.use.pins]
            if free:
                await self._unload(min(free, key=lambda one: one.last_used), name)
            else:
                log.info("load_waits", model=name, for_requests_of=[one.name for one in movable])
                try:
                    async with asyncio.timeout(deadline - time.monotonic()):
                        await self._loaded.unpinned()
                except TimeoutError:
                    raise self._full(name, needs, kept) from None

    async def _kept(self) -> set[int]:
        """Spaces that live indexes need."""
        known = frozenset(self._claimed)
        kept = {*await retries.reading(self._in_use), *self._claimed}
        # What was claimed before the question is part of the answer from now on.
        self._claimed -= known
        return kept

    async def _in_use(self) -> list[int]:
        async with self._engine.connect() as conn:
            return list(await spaces.in_use(conn))

    def _stays(self, loaded: Loaded, kept: set[int]) -> bool:
        return loaded.space_id in kept or self._loaded.is_default(loaded)

    async def _unload(self, loaded: Loaded, name: str) -> None:
        self._loaded.remove(loaded)
        await asyncio.to_thread(loaded.model.close)
        log.info(
            "model_unloaded", model=loaded.name, bytes=loaded.memory_bytes, to_make_room_for=name
        )

    def _full(self, name: str, needs: int, kept: set[int]) -> errors.NoMemory:
        return errors.NoMemory(
            name,
            needs=memory.shown(needs),
            limit=memory.shown(self.limit),
            taken=list(self._taken(kept)),
        )

    def _taken(self, kept: set[int]) -> Iterator[str]:
        for one in self._loaded:
            if self._loaded.is_default(one):
                why = "the default"
            elif one.space_id in kept:
                why = "collections need it"
            else:
                why = "requests use it" if one.use.pins else "not enough by itself"
            yield f"{one.name} ({memory.shown(one.memory_bytes)}, {why})"
