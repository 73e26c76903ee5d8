"""Loads models one at a time: finds the files, makes room, checks, measures, and closes them."""

import asyncio
import concurrent.futures
import contextlib
import functools
from collections.abc import Awaitable, Mapping

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding import loading
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

_LOAD_GRACE_S = 30.0
_LEAVING_GRACE_S = 10.0


class ModelLoader:
    """Adds to the loaded models those that may write and serve.

    `describe`, `find` and `open` also serve callers that only compare a model; the caller closes
    what `open` returns.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        settings: loading.ModelSettings,
        loaded: LoadedModels,
        budget: MemoryBudget,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._loaded = loaded
        self._budget = budget
        self._readers = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="read-model")
        self._opening: asyncio.Future[LoadedModel] | None = None
        self._loading = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()
        # By fingerprint: changed files have another one, and libraries don't change meanwhile.
        self._refused: dict[str, str] = {}

    async def default(self, opening: Awaitable[LoadedModel]) -> None:
        """Take the default model once it is open. Raises EmbeddingError, LoadRefused."""
        async with self._loading:
            opened = await opening
            self._loaded.default = await self._take(opened, opened.description.options)

    async def by_source(self, source: sources.ModelSource) -> Loaded:
        """Within the budget. Raises EmbeddingError, LoadRefused, NoMemory, Busy."""
        described = await self.describe(source)
        options = source.options or description.ModelOptions()
        return await self._load(described, options, on_demand=True)

    async def by_row(
        self, row: spaces.SpaceRow, links: Mapping[str, int], *, on_demand: bool
    ) -> Loaded:
        """The model of a stored space; `on_demand`: only within the budget.

        Raises ModelMissing, and as `by_source` does.
        """
        fingerprints = {row.fingerprint, *(key for key, id_ in links.items() if id_ == row.id)}
        options = description.ModelOptions(**row.options)  # type: ignore[arg-type]
        described = await self.find(fingerprints, options)
        if described is None:
            raise errors.ModelMissing(
                row.model_id, row.fingerprint, str(self._settings), self._settings.default
            )
        return await self._load(described, options, on_demand=on_demand)

    async def describe(self, source: sources.ModelSource) -> description.ModelDescription:
        """Hash the files if that wasn't done before. Raises EmbeddingError."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, sources.descriptions.get, source)

    async def find(
        self, fingerprints: set[str], options: description.ModelOptions
    ) -> description.ModelDescription | None:
        """The files of one of these spaces, wherever they are; None if this machine has none."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._find, fingerprints, options)

    def _find(
        self, fingerprints: set[str], options: description.ModelOptions
    ) -> description.ModelDescription | None:
        try:
            default = self._settings.source(self._settings.default)
        except EmbeddingError:
            default = None
        for fingerprint in fingerprints:
            with contextlib.suppress(EmbeddingError):
                return sources.find_space(
                    fingerprint,
                    options,
                    roots=self._settings.roots,
                    models_dir=self._settings.models_dir,
                    default=default,
                )
        return None

    async def open(self, described: description.ModelDescription) -> LoadedModel:
        """One at a time; many seconds if it has to be converted. Raises EmbeddingError."""
        load = functools.partial(loading.load_with, self._settings, described)
        self._opening = asyncio.wrap_future(loading.on_thread(load))
        opened = await asyncio.shield(self._opening)
        self._opening = None
        return opened

    async def _load(
        self,
        described: description.ModelDescription,
        options: description.ModelOptions,
        *,
        on_demand: bool,
    ) -> Loaded:
        """One at a time: the memory that each takes is measured before the next is loaded."""
        fingerprint = described.space.fingerprint
        async with self._loading:
            existing = self._loaded.by_fingerprint(fingerprint)
            if existing is not None:
                return existing
            if fingerprint in self._refused:
                raise errors.LoadRefused(self._refused[fingerprint])
            await self._make_room(described, on_demand=on_demand)
            before = memory.resident()
            loaded = await self._take(await self.open(described), options)
            growth = memory.resident() - before
            loaded.use.memory_bytes = max(loaded.memory_bytes, growth)
            log.info("model_loaded", model=loaded.name, bytes=loaded.memory_bytes, grown_by=growth)
            if on_demand:
                with self._loaded.pinned(loaded), contextlib.suppress(errors.NoMemory):
                    # It may have taken more than was estimated.
                    await self._budget.reserve(described.name, 0, patience_s=0)
        return loaded

    async def _make_room(self, described: description.ModelDescription, *, on_demand: bool) -> None:
        needs = memory.estimate(described)
        if on_demand:
            await self._budget.reserve(described.name, needs)
        else:
            # A live index always gets its model; other models are unloaded if possible.
            with contextlib.suppress(errors.NoMemory, errors.Busy):
                await self._budget.reserve(described.name, needs, patience_s=0)
        await asyncio.to_thread(memory.trim)

    async def _take(self, opened: LoadedModel, options: description.ModelOptions) -> Loaded:
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
        """Stop serving with the model, and don't load it again."""
        log.error("model_refused", model=loaded.name, reason=reason)
        self._refused[loaded.model.space.fingerprint] = reason
        self._loaded.remove(loaded)
        self.close_when_unused(loaded)

    def close_when_unused(self, loaded: Loaded) -> None:
        """Close a model that was removed once the last request has left it."""

        async def close() -> None:
            while loaded.use.pins:
                await self._loaded.unpinned()
            await asyncio.to_thread(loaded.model.close)

        task = asyncio.create_task(close(), name=f"close {loaded.name}")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """No request may be running, and nobody may wait for a load."""
        self._readers.shutdown(wait=False, cancel_futures=True)
        if self._opening is not None:
            await self._close_overtaken(self._opening)
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=_LEAVING_GRACE_S)
        models = {loaded.model for loaded in self._loaded}
        if self._loaded.default is not None:  # another model may serve its space
            models.add(self._loaded.default.model)
        for model in models:
            await asyncio.to_thread(model.close)

    async def _close_overtaken(self, opening: asyncio.Future[LoadedModel]) -> None:
        opened = await finish_load(opening)
        if opened is not None:
            await asyncio.to_thread(opened.close)


async def finish_load(opening: asyncio.Future[LoadedModel]) -> LoadedModel | None:
    """Wait up to 30 s for the thread of a load that a stop overtook; None if nothing came of it.

    Native threads that outlive Python abort the process.
    """
    await asyncio.wait({opening}, timeout=_LOAD_GRACE_S)
    if not opening.done() or opening.cancelled() or opening.exception() is not None:
        return None
    return opening.result()
