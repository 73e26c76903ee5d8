"""Loads models one at a time: found, given room, checked, measured, and closed when they leave."""

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Awaitable, Mapping

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding import loading as model_loading
from embedding import model
from embedding.errors import EmbeddingError
from embedding.model import LoadedModel
from embedding.model_files import description
from embedding.registry import sources
from indexing import errors
from indexing.models import memory, verification
from indexing.models.loaded import Loaded, LoadedModels, Use
from indexing.models.memory import MemoryBudget
from storage import spaces

log = structlog.get_logger()

_CLOSING_GRACE_S = 10.0


class ModelLoader:
    """Adds to the loaded models what may write and serve."""

    def __init__(
        self,
        engine: AsyncEngine,
        places: model_loading.ModelSettings,
        loaded: LoadedModels,
        room: MemoryBudget,
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

    async def describe(self, source: sources.ModelSource) -> description.ModelDescription:
        """Raises EmbeddingError."""
        return await self._opener.describe(source)

    async def by_source(self, source: sources.ModelSource) -> Loaded:
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
            accepted = await verification.accept(self._engine, opened, options)
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


_THREAD_GRACE_S = 30.0


class Opener:
    """`open` one model at a time."""

    def __init__(self, places: model_loading.ModelSettings) -> None:
        self._places = places
        self._readers = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="read-model")
        self._opening: asyncio.Future[LoadedModel] | None = None

    async def describe(self, source: sources.ModelSource) -> description.ModelDescription:
        """Hash the files, where that wasn't done before. Raises EmbeddingError."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, sources.descriptions.get, source)

    async def find(
        self, fingerprints: set[str], options: description.ModelOptions
    ) -> description.ModelDescription | None:
        """The files of one of these spaces, wherever they are; None where they are not here."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._find, fingerprints, options)

    def _find(
        self, fingerprints: set[str], options: description.ModelOptions
    ) -> description.ModelDescription | None:
        try:
            default = self._places.source(self._places.default)
        except EmbeddingError:
            default = None
        for fingerprint in fingerprints:
            with contextlib.suppress(EmbeddingError):
                return sources.find(
                    fingerprint,
                    options,
                    roots=self._places.roots,
                    models_dir=self._places.models_dir,
                    default=default,
                )
        return None

    async def open(self, described: description.ModelDescription) -> model.LoadedModel:
        """Many seconds where the model has to be converted. Raises EmbeddingError."""
        loading: concurrent.futures.Future[LoadedModel] = concurrent.futures.Future()

        def work() -> None:
            try:
                loading.set_result(model_loading.load_from(self._places, described))
            except BaseException as error:
                loading.set_exception(error)

        # A daemon: a conversion under way must not keep the process from ending.
        threading.Thread(target=work, name="load-model", daemon=True).start()
        self._opening = asyncio.wrap_future(loading)
        opened = await asyncio.shield(self._opening)
        self._opening = None
        return opened

    async def close(self) -> None:
        """Wait for a load that a stop overtook: native threads that outlive Python abort it."""
        self._readers.shutdown(wait=False, cancel_futures=True)
        if self._opening is None:
            return
        done, _ = await asyncio.wait({self._opening}, timeout=_THREAD_GRACE_S)
        for one in done:
            if one.exception() is None:
                await asyncio.to_thread(one.result().close)
