"""Resolves the model names in requests: to a loaded model, or to files loaded on demand."""

import asyncio
import concurrent.futures
import dataclasses
import functools
import re
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding import loading
from embedding.errors import EmbeddingError, ModelNotFound
from embedding.model_files import description
from embedding.registry import sources
from indexing import errors, retries
from indexing.models.loaded import Loaded, LoadedModels
from indexing.models.loader import ModelLoader
from storage import spaces

log = structlog.get_logger()

_PREFIX = "fp1:"
_FINGERPRINT = re.compile(r"fp1:[0-9a-f]{64}")
# Files that are replaced behind a name are noticed after this.
_CACHED_S = 1.0
# A model that can't be loaded is tried again after this, or as soon as its files change.
_FAILED_S = 30.0
_MAX_NAME_CHARS = 256


@dataclasses.dataclass(frozen=True)
class ModelFiles:
    """A model's files as they were at one time."""

    source: sources.ModelSource
    stamp: sources.Stamp


@dataclasses.dataclass
class _Resolution:
    files: ModelFiles
    fingerprint: str
    checked: float


@dataclasses.dataclass(frozen=True)
class _Failure:
    files: ModelFiles | None
    error: Exception
    until: float


class ModelResolver:
    """Finds or loads the model of a name; remembers successes, and failures for 30 s.

    `on_load` is called with each model that a name or a fingerprint had loaded.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        settings: loading.ModelSettings,
        loaded: LoadedModels,
        *,
        loader: ModelLoader,
        on_load: Callable[[Loaded], None],
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._loaded = loaded
        self._loader = loader
        self._on_load = on_load
        self._resolutions: dict[str, _Resolution] = {}
        self._failures: dict[str, _Failure] = {}
        self._loads: dict[str, asyncio.Task[Loaded]] = {}
        # Not the loop's own threads: loads and hashing may have taken all of them.
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="model-names")

    async def resolve(self, name: str) -> Loaded:
        """The model that a request names; no lock, thread or file if it was looked up just now.

        Raises EmbeddingError, ModelUnknown, ModelMissing, LoadRefused, NoMemory, Busy.
        """
        if name.startswith(_PREFIX):
            loaded = self._loaded.by_fingerprint(name)
            return loaded or await self._load_once(name, self._by_fingerprint)
        fingerprint = self.cached_fingerprint(name)
        loaded = None if fingerprint is None else self._loaded.by_fingerprint(fingerprint)
        return loaded or await self._load_once(name, self._by_name)

    async def describe(self, name: str) -> description.ModelDescription:
        """The model that the name stands for now, by its files. Raises as `resolve` does."""
        if name.startswith(_PREFIX):
            return (await self._load_once(name, self._by_fingerprint)).model.description
        files = await self.find_files(name)
        return await self._loader.describe(files.source)

    def _load_once(
        self, name: str, load: Callable[[str], Coroutine[Any, Any, Loaded]]
    ) -> Awaitable[Loaded]:
        """One load for all who wait for the name; it continues if they are cancelled."""
        task = self._loads.get(name)
        if task is None:
            task = asyncio.create_task(load(name), name=f"model {name}")
            self._loads[name] = task
            task.add_done_callback(functools.partial(self._forget_load, name))
        return asyncio.shield(task)

    def _forget_load(self, name: str, task: asyncio.Task[Loaded]) -> None:
        del self._loads[name]
        if not task.cancelled():
            task.exception()  # retrieved: raised to those who still wait

    async def _by_name(self, name: str) -> Loaded:
        try:
            files = await self.find_files(name)
        except (ModelNotFound, errors.ModelUnknown):
            # What collections need is listed, and served whatever became of its files.
            listed = [loaded for loaded in self._loaded.serving if loaded.name == name]
            if len(listed) == 1:
                return listed[0]
            raise
        fingerprint = self.look_up(name, files)
        existing = None if fingerprint is None else self._loaded.by_fingerprint(fingerprint)
        if existing is not None:
            return existing
        try:
            loaded = await self._loader.by_source(files.source)
        except (EmbeddingError, errors.LoadRefused) as error:
            log.warning("model_unusable", model=name, reason=str(error))
            self.remember_failure(name, files, error)
            raise
        self.remember(name, files, loaded.model.space.fingerprint)
        self._on_load(loaded)
        return loaded

    async def _by_fingerprint(self, fingerprint: str) -> Loaded:
        self.look_up(fingerprint, None)
        row, links = await retries.reading(functools.partial(self._stored, fingerprint))
        if row is None:
            raise errors.ModelUnknown(
                f"no space {fingerprint!r} is stored; see `vecmark models list`"
            )
        try:
            loaded = await self._loader.by_row(row, links, on_demand=True)
        except (EmbeddingError, errors.LoadRefused, errors.ModelMissing) as error:
            self.remember_failure(fingerprint, None, error)
            raise
        self._on_load(loaded)
        return loaded

    async def _stored(self, fingerprint: str) -> tuple[spaces.SpaceRow | None, dict[str, int]]:
        if not _FINGERPRINT.fullmatch(fingerprint):
            return None, {}
        async with self._engine.connect() as conn:
            linked = await spaces.by_link(conn, fingerprint)
            row = linked or await spaces.by_fingerprint(conn, fingerprint)
            return row, await spaces.links(conn)

    def cached_fingerprint(self, name: str) -> str | None:
        """The fingerprint that the name stood for within the last second."""
        resolution = self._resolutions.get(name)
        if resolution is None or time.monotonic() - resolution.checked > _CACHED_S:
            return None
        return resolution.fingerprint

    async def find_files(self, name: str) -> ModelFiles:
        """Find the files now. Raises ModelUnknown if it can't be a name, ModelNotFound."""
        refuse_paths(name)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._find_files, name)

    def _find_files(self, name: str) -> ModelFiles:
        try:
            source = self._settings.source(name)
            return ModelFiles(source, sources.stamp_of(source.directory))
        except OSError as error:
            raise ModelNotFound(f"no model {name!r}: {error.strerror}") from error

    def look_up(self, name: str, files: ModelFiles | None) -> str | None:
        """The fingerprint of these very files. Raises the error of their last load, if recent."""
        failure = self._failures.get(name)
        if failure is not None and failure.files == files and failure.until > time.monotonic():
            raise failure.error.with_traceback(None)
        resolution = self._resolutions.get(name)
        if resolution is None or resolution.files != files:
            return None
        resolution.checked = time.monotonic()
        return resolution.fingerprint

    def remember(self, name: str, files: ModelFiles, fingerprint: str) -> None:
        self._failures.pop(name, None)
        self._resolutions[name] = _Resolution(files, fingerprint, time.monotonic())

    def remember_failure(self, name: str, files: ModelFiles | None, error: Exception) -> None:
        now = time.monotonic()
        self._resolutions.pop(name, None)
        self._failures = {
            key: failure for key, failure in self._failures.items() if failure.until > now
        }
        self._failures[name] = _Failure(files, error, now + _FAILED_S)

    async def close(self) -> None:
        """Cancel the loads in progress."""
        loads = list(self._loads.values())
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)
        self._thread.shutdown(wait=False, cancel_futures=True)


def refuse_paths(name: str) -> None:
    """A request never names a path, so that none is probed. Raises ModelUnknown."""
    is_path = name.startswith(("/", ".", "~")) or {"", ".", ".."} & set(name.split("/")[1:])
    if is_path or len(name) > _MAX_NAME_CHARS:
        raise errors.ModelUnknown(
            "a request names a model by the name it was added under (`vecmark models add"
            " DIRECTORY`), its folder's name under VECMARK_MODEL_ROOTS, a hub id or a space's"
            f" fingerprint, not by a path ({name[:_MAX_NAME_CHARS]!r})"
        )
