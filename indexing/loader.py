"""Loads models one at a time: found, given room, checked, measured, and closed when they leave."""

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding import description, model, opening, sources
from indexing import acceptance, errors, memory
from indexing.loaded import Loaded, LoadedModels, Use
from indexing.opener import Opener
from indexing.room import Room
from storage import spaces

log = structlog.get_logger()

_CLOSING_GRACE_S = 10.0


class Loader:
    """Adds to the loaded models what may write and serve."""

    def __init__(
        self, engine: AsyncEngine, places: opening.Places, loaded: LoadedModels, room: Room
    ) -> None:
        self._engine = engine
        self._places = places
        self._loaded = loaded
        self._room = room
        self._opener = Opener(places)
        self._loading = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()
        # By fingerprint: other files have another one, and libraries don't change meanwhile.
        self._refused: dict[str, str] = {}

    async def default(self, opening_: Awaitable[model.LoadedModel]) -> None:
        """Take the default model once it is open. Raises EmbeddingError, LoadRefused."""
        async with self._loading:
            opened = await opening_
            self._loaded.default = await self._take(opened, opened.description.options)

    async def describe(self, source: sources.Source) -> description.ModelDescription:
        """Raises EmbeddingError."""
        return await self._opener.describe(source)

    async def by_source(self, source: sources.Source) -> Loaded:
        """Within the budget. Raises EmbeddingError, LoadRefused, NoMemory."""
        described = await self._opener.describe(source)
        options = source.options or description.ModelOptions()
        return await self._load(described, options, by_need=True)

    async def by_row(
        self, row: spaces.SpaceRow, links: Mapping[str, int], *, by_need: bool
    ) -> Loaded:
        """Whatever it takes, unless `by_need`. Raises ModelMissing and as `by_source` does."""
        wanted = {row.fingerprint, *(key for key, id_ in links.items() if id_ == row.id)}
        options = description.ModelOptions(**row.options)  # type: ignore[arg-type]
        found = await self._opener.find(wanted, options)
        if found is None:
            raise errors.ModelMissing(
                row.model_id, row.fingerprint, str(self._places), self._places.default
            )
        return await self._load(found, options, by_need=by_need)

    async def _load(
        self,
        described: description.ModelDescription,
        options: description.ModelOptions,
        *,
        by_need: bool,
    ) -> Loaded:
        """One at a time: what each takes is measured, and makes room for the next."""
        fingerprint = described.space.fingerprint
        async with self._loading:
            known = self._loaded.of(fingerprint)
            if known is not None:
                return known
            if fingerprint in self._refused:
                raise errors.LoadRefused(self._refused[fingerprint])
            await self._make_room(described, by_need=by_need)
            before = memory.resident()
            loaded = await self._take(await self._opener.open(described), options)
            taken = memory.resident() - before
            loaded.use.memory_bytes = max(loaded.memory_bytes, taken)
            log.info("model_loaded", model=loaded.name, bytes=loaded.memory_bytes, grown_by=taken)
            if by_need:
                with self._loaded.pinned(loaded), contextlib.suppress(errors.NoMemory):
                    # It may have taken more than was estimated.
                    await self._room.make(described.name, 0, patience_s=0)
        return loaded

    async def _make_room(self, described: description.ModelDescription, *, by_need: bool) -> None:
        needs = memory.estimate(described)
        if by_need:
            await self._room.make(described.name, needs)
        else:
            # A live index gets its model whatever it takes; what may go for it, goes.
            with contextlib.suppress(errors.NoMemory, errors.Busy):
                await self._room.make(described.name, needs, patience_s=0)
        await asyncio.to_thread(memory.give_back)

    async def _take(self, opened: model.LoadedModel, options: description.ModelOptions) -> Loaded:
        """Let a model write and serve. Raises LoadRefused."""
        try:
            accepted = await acceptance.accept(self._engine, opened, options)
        except BaseException as error:
            if isinstance(error, errors.LoadRefused):
                self._refused[opened.space.fingerprint] = str(error)
            await asyncio.to_thread(opened.close)
            raise
        row = accepted.row
        served = self._loaded.get(row.id)
        if served is not None:  # by a model that is linked to it
            await asyncio.to_thread(opened.close)
            return served
        use = Use(memory.estimate(opened.description))
        loaded = Loaded(opened, row.id, row.fingerprint, accepted.report, accepted.full, use)
        self._loaded.add(loaded)
        return loaded

    def refuse(self, loaded: Loaded, reason: str) -> None:
        """It serves nobody any more, and is not loaded again."""
        log.error("model_refused", model=loaded.name, reason=reason)
        self._refused[loaded.model.space.fingerprint] = reason
        self._loaded.remove(loaded)
        self.leave(loaded)

    def leave(self, loaded: Loaded) -> None:
        """Close a model that was removed once the last request has left it."""

        async def close() -> None:
            while loaded.use.pins:
                await self._loaded.unpinned()
            await asyncio.to_thread(loaded.model.close)

        task = asyncio.create_task(close(), name=f"close {loaded.name}")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """No request may be running, no load be awaited."""
        await self._opener.close()
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=_CLOSING_GRACE_S)
        models = {one.model for one in self._loaded}
        if self._loaded.default is not None:  # another model may serve its space
            models.add(self._loaded.default.model)
        for one in models:
            await asyncio.to_thread(one.close)
