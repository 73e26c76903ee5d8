"""The models of this process: loaded at the start or by need, unloaded where memory is short."""

import asyncio
import contextlib
import functools
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding import loading, model
from embedding.errors import EmbeddingError, ModelNotFound
from embedding.model_files import description
from embedding.registry import sources
from indexing import errors, retries, tasks
from indexing.models import memory, resolver, verification
from indexing.models.loaded import Loaded, LoadedModels
from indexing.models.loader import ModelLoader
from indexing.models.memory import MemoryBudget
from storage import spaces
from storage.indexes import IndexRow

log = structlog.get_logger()

_EVERY_S = 5.0
_FINGERPRINT = re.compile(r"fp1:[0-9a-f]{64}")


class ModelPool:
    """Loads models, checks their canaries against the stored ones, and finds them again.

    Together they take `memory_limit` bytes (None: half of what the machine or its cgroup has). Only
    the default and the models of live indexes are loaded beyond it.
    """

    def __init__(
        self, engine: AsyncEngine, places: loading.ModelSettings, memory_limit: int | None = None
    ) -> None:
        self._engine = engine
        self.places = places
        self._loaded = LoadedModels()
        self._room = MemoryBudget(engine, self._loaded, memory_limit)
        self._names = resolver.ModelResolver(places)
        self._loader = ModelLoader(engine, places, self._loaded, self._room)
        self._under_way: dict[str, asyncio.Task[Loaded]] = {}
        self._given_up: set[int] = set()
        self._woken = asyncio.Event()
        self.needed: frozenset[int] = frozenset()
        self.problems: dict[str, str] = {}

    @property
    def loaded(self) -> Iterable[Loaded]:
        return iter(self._loaded)

    @property
    def default(self) -> Loaded | None:
        return self._loaded.default

    @property
    def memory_limit(self) -> int:
        return self._room.limit

    @property
    def memory_bytes(self) -> int:
        """What the loaded models take."""
        return self._loaded.memory_bytes

    @property
    def serving(self) -> list[Loaded]:
        """The default and the models of live indexes."""
        return [
            one
            for one in self._loaded
            if one.space_id in self.needed or self._loaded.is_default(one)
        ]

    @property
    def given_up(self) -> frozenset[int]:
        """Spaces that can't be served; why is in `problems`."""
        return frozenset(self._given_up)

    @property
    def warnings(self) -> list[str]:
        """What a person should know beside `problems`."""
        if self.memory_bytes <= self.memory_limit:
            return []
        return [
            f"models take {memory.shown(self.memory_bytes)}, VECMARK_MODEL_MEMORY is "
            f"{memory.shown(self.memory_limit)}: the default and those that collections need are "
            "loaded all the same, others only when there is room"
        ]

    def has(self, space_id: int) -> bool:
        return self._loaded.get(space_id) is not None

    @contextlib.contextmanager
    def held(self, index: IndexRow) -> Iterator[Loaded]:
        """The model of a live index, not closed while in the block. Raises ModelMissing."""
        loaded = self._loaded.get(index.space_id)
        if loaded is None:
            raise errors.ModelMissing(
                index.model_id, index.fingerprint, str(self.places), self.places.default
            )
        with self._loaded.pinned(loaded):
            yield loaded

    @contextlib.asynccontextmanager
    async def using(self, name: str | None) -> AsyncIterator[Loaded]:
        """The default model or the one that a request names, loaded by need; kept in the block.

        Raises EmbeddingError, ModelUnknown, ModelMissing, LoadRefused, NoMemory, Busy.
        """
        loaded = await self._find(name)
        while not self._loaded.holds(loaded):  # unloaded again before its turn came
            loaded = await self._find(name)
        with self._loaded.pinned(loaded):
            yield loaded

    def wake(self) -> None:
        """Look at once for models that live indexes need."""
        self._woken.set()

    def claim(self, loaded: Loaded) -> None:
        """A live index was made in its space: said after that, and in the block of `using`."""
        self._room.claim(loaded.space_id)

    async def _find(self, name: str | None) -> Loaded:
        """Without a lock, a thread or the files where the name was looked up just now."""
        if name is None or name in self._default_names():
            if self.default is None:
                reason = self.problems.get(self.places.default, "it is still being loaded")
                raise errors.LoadRefused(
                    f"the default model {self.places.default!r} cannot be used: {reason}"
                )
            return self.default
        if name.startswith(resolver.FINGERPRINT):
            known = self._loaded.of(name)
            return known or await self._shared(name, self._by_fingerprint)
        fresh = self._names.fresh(name)
        known = None if fresh is None else self._loaded.of(fresh)
        return known or await self._shared(name, self._by_name)

    def _default_names(self) -> Iterable[str]:
        named = self.places.default if self.default is None else self.default.name
        aliases = sources.BUNDLED_NAMES if named in sources.BUNDLED_NAMES else ()
        return (self.places.default, named, *aliases)

    def _shared(
        self, name: str, load: Callable[[str], Coroutine[Any, Any, Loaded]]
    ) -> Awaitable[Loaded]:
        """One load for all who wait for the name; it goes on when they have left."""
        task = self._under_way.get(name)
        if task is None:
            task = asyncio.create_task(load(name), name=f"model {name}")
            self._under_way[name] = task
            task.add_done_callback(functools.partial(self._done, name))
        return asyncio.shield(task)

    def _done(self, name: str, task: asyncio.Task[Loaded]) -> None:
        del self._under_way[name]
        if not task.cancelled():
            task.exception()  # told to those who still wait

    async def _by_name(self, name: str) -> Loaded:
        try:
            place = await self._names.locate(name)
        except (ModelNotFound, errors.ModelUnknown):
            # What collections need is listed, and served whatever became of its files.
            listed = [one for one in self.serving if one.name == name]
            if len(listed) == 1:
                return listed[0]
            raise
        fingerprint = self._names.recall(name, place)
        known = None if fingerprint is None else self._loaded.of(fingerprint)
        if known is not None:
            return known
        try:
            loaded = await self._loader.by_source(place.source)
        except (EmbeddingError, errors.LoadRefused) as error:
            log.warning("model_unusable", model=name, reason=str(error))
            self._names.remember_failure(name, place, error)
            raise
        self._names.remember(name, place, loaded.model.space.fingerprint)
        self._woken.set()
        return self._serving_again(loaded)

    def _serving_again(self, loaded: Loaded) -> Loaded:
        """What was told of its space while it could not be loaded is true no more."""
        self.problems.pop(loaded.fingerprint, None)
        self._given_up.discard(loaded.space_id)
        return loaded

    async def _by_fingerprint(self, fingerprint: str) -> Loaded:
        self._names.recall(fingerprint, None)
        row, links = await retries.reading(functools.partial(self._stored, fingerprint))
        if row is None:
            raise errors.ModelUnknown(
                f"no space {fingerprint!r} is stored; see `vecmark models list`"
            )
        try:
            return self._serving_again(await self._loader.by_row(row, links, by_need=True))
        except (EmbeddingError, errors.LoadRefused, errors.ModelMissing) as error:
            self._names.remember_failure(fingerprint, None, error)
            raise

    async def _stored(self, fingerprint: str) -> tuple[spaces.SpaceRow | None, dict[str, int]]:
        if not _FINGERPRINT.fullmatch(fingerprint):
            return None, {}
        async with self._engine.connect() as conn:
            linked = await spaces.by_link(conn, fingerprint)
            row = linked or await spaces.by_fingerprint(conn, fingerprint)
            return row, await spaces.links(conn)

    async def load_default(self, default: Awaitable[model.LoadedModel]) -> None:
        """Take the default model, loaded while the database was starting.

        What hinders it is kept in `problems`, not raised.
        """
        name = self.places.default
        try:
            await self._loader.default(default)
        except (EmbeddingError, errors.IndexingError) as error:
            self.problems[name] = str(error)
            log.warning("model_unusable", model=name, reason=str(error))

    async def load_needed(self) -> None:
        """The models of all live indexes; what hinders one is kept in `problems`."""
        self.needed, rows, links = await retries.reading(self._lacking)
        for row in rows:
            try:
                await self._loader.by_row(row, links, by_need=False)
            except (EmbeddingError, errors.IndexingError) as error:
                if not isinstance(error, errors.Busy):  # the database was away: tried again
                    self._given_up.add(row.id)
                self.problems[row.fingerprint] = str(error)
                missing = isinstance(error, errors.ModelMissing)
                event = "model_missing" if missing else "model_unusable"
                log.warning(event, model=row.model_id, space=row.fingerprint, reason=str(error))
            else:
                self.problems.pop(row.fingerprint, None)

    async def _lacking(self) -> tuple[frozenset[int], list[spaces.SpaceRow], dict[str, int]]:
        async with self._engine.connect() as conn:
            needed = frozenset(await spaces.in_use(conn))
            lacking = [
                id_ for id_ in sorted(needed - self._given_up) if self._loaded.get(id_) is None
            ]
            rows = [await spaces.by_id(conn, id_) for id_ in lacking]
            return needed, rows, await spaces.links(conn)

    async def run(self) -> None:
        """Until cancelled: check models fully, and load what live indexes of others need."""
        await tasks.every(_EVERY_S, self._tick, name="models", wake=self._woken)

    async def _tick(self) -> None:
        await self._check_rest()
        await self.load_needed()
        await self.follow_prompts()

    async def describe(self, name: str) -> description.ModelDescription:
        """What the name stands for now, by its files. Raises EmbeddingError, ModelUnknown."""
        if name in self._default_names() and self.default is not None:
            return self.default.model.description
        if name.startswith(resolver.FINGERPRINT):
            return (await self._shared(name, self._by_fingerprint)).model.description
        place = await self._names.locate(name)
        return await self._loader.describe(place.source)

    async def follow_prompts(self) -> None:
        """Take the query prompts that were set for spaces meanwhile: they are no part of them."""
        await verification.follow_prompts(self._engine, self._loaded)

    async def _check_rest(self) -> None:
        """What moved stops serving."""
        async with contextlib.aclosing(
            verification.check_rest(self._engine, self._loaded)
        ) as moved:
            async for loaded, reason in moved:
                is_default = self._loaded.is_default(loaded)
                self.problems[self.places.default if is_default else loaded.name] = reason
                self._given_up.add(loaded.space_id)
                self._loader.refuse(loaded, reason)

    def move(self, loaded: Loaded, row: spaces.SpaceRow) -> None:
        """Serve another space, which the model was shown to equal."""
        changed = self._loaded.replace(loaded, space_id=row.id, fingerprint=row.fingerprint)
        self.problems.pop(row.fingerprint, None)
        if changed is not None and not self._loaded.holds(changed):  # its own model serves it
            self._loader.leave(changed)

    async def close(self) -> None:
        """Loads under way are given up; no request may be running."""
        loads = list(self._under_way.values())
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)
        self._names.close()
        await self._loader.close()
