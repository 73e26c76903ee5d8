"""The models of this process: loaded at start or on demand, unloaded when memory is short."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding import loading
from embedding.errors import EmbeddingError
from embedding.model import LoadedModel
from embedding.model_files import description
from embedding.registry import sources
from indexing import errors, figures, retries, tasks
from indexing.models import verification
from indexing.models.loaded import Loaded, LoadedModels
from indexing.models.loader import ModelLoader
from indexing.models.memory import MemoryBudget
from indexing.models.resolver import ModelResolver
from storage import spaces
from storage.indexes import IndexRow

log = structlog.get_logger()

_EVERY_S = 5.0


class ModelPool:
    """Loads models, checks their canaries against the stored ones, and finds them again.

    Together they take `memory_limit` bytes (None: half of what the machine or its cgroup has). Only
    the default and the models of live indexes are loaded beyond it.
    """

    def __init__(
        self, engine: AsyncEngine, settings: loading.ModelSettings, memory_limit: int | None = None
    ) -> None:
        self._engine = engine
        self.settings = settings
        self._loaded = LoadedModels()
        self._budget = MemoryBudget(engine, self._loaded, memory_limit)
        self._loader = ModelLoader(engine, settings, self._loaded, self._budget)
        self._resolver = ModelResolver(
            engine, settings, self._loaded, loader=self._loader, on_load=self._note_loaded
        )
        self._given_up: set[int] = set()
        self._woken = asyncio.Event()
        self.problems: dict[str, str] = {}

    @property
    def loaded(self) -> Iterable[Loaded]:
        return iter(self._loaded)

    @property
    def default(self) -> Loaded | None:
        return self._loaded.default

    @property
    def memory_limit(self) -> int:
        return self._budget.limit

    @property
    def memory_bytes(self) -> int:
        """The memory of all loaded models."""
        return self._loaded.memory_bytes

    @property
    def serving(self) -> list[Loaded]:
        """The default and the models of live indexes."""
        return self._loaded.serving

    @property
    def given_up(self) -> frozenset[int]:
        """Spaces that can't be served; `problems` says why."""
        return frozenset(self._given_up)

    @property
    def warnings(self) -> list[str]:
        """Warnings for people, besides `problems`."""
        if self.memory_bytes <= self.memory_limit:
            return []
        return [
            f"models take {figures.format_bytes(self.memory_bytes)}, VECMARK_MODEL_MEMORY is "
            f"{figures.format_bytes(self.memory_limit)}: the default and those that collections "
            "need are loaded anyway, others only if there is room"
        ]

    def has_space(self, space_id: int) -> bool:
        return self._loaded.get(space_id) is not None

    @contextlib.contextmanager
    def for_index(self, index: IndexRow) -> Iterator[Loaded]:
        """The model of a live index, not closed while in the block. Raises ModelMissing."""
        loaded = self._loaded.get(index.space_id)
        if loaded is None:
            raise errors.ModelMissing(
                index.model_id, index.fingerprint, str(self.settings), self.settings.default
            )
        with self._loaded.pinned(loaded):
            yield loaded

    @contextlib.asynccontextmanager
    async def using(self, name: str | None) -> AsyncIterator[Loaded]:
        """The default model or the one a request names, loaded on demand; kept in the block.

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

    def keep(self, loaded: Loaded) -> None:
        """Never unload it; to be called inside `using`, after an index was made in its space."""
        self._budget.keep(loaded.space_id)

    async def _find(self, name: str | None) -> Loaded:
        if name is not None and name not in self._default_names():
            return await self._resolver.resolve(name)
        if self.default is None:
            reason = self.problems.get(self.settings.default, "it is still being loaded")
            raise errors.LoadRefused(
                f"the default model {self.settings.default!r} cannot be used: {reason}"
            )
        return self.default

    def _default_names(self) -> Iterable[str]:
        name = self.settings.default if self.default is None else self.default.name
        aliases = sources.BUNDLED_NAMES if name in sources.BUNDLED_NAMES else ()
        return (self.settings.default, name, *aliases)

    async def describe(self, name: str) -> description.ModelDescription:
        """What the name stands for now, by its files. Raises EmbeddingError, ModelUnknown."""
        if name in self._default_names() and self.default is not None:
            return self.default.model.description
        return await self._resolver.describe(name)

    def _note_loaded(self, loaded: Loaded) -> None:
        """A request loaded it: its former problem is solved, its other canaries are checked."""
        self.problems.pop(loaded.fingerprint, None)
        self._given_up.discard(loaded.space_id)
        self._woken.set()

    async def load_default(self, default: Awaitable[LoadedModel]) -> None:
        """Take the default model, loaded while the database was starting.

        Failures are recorded in `problems`, not raised.
        """
        name = self.settings.default
        try:
            await self._loader.default(default)
        except (EmbeddingError, errors.IndexingError) as error:
            self.problems[name] = str(error)
            log.warning("model_unusable", model=name, reason=str(error))

    async def load_needed(self) -> None:
        """Load the models of all live indexes; failures are recorded in `problems`."""
        self._loaded.needed, rows, links = await retries.reading(self._lacking)
        for row in rows:
            try:
                await self._loader.by_row(row, links, on_demand=False)
            except (EmbeddingError, errors.IndexingError) as error:
                if not isinstance(error, errors.Busy):  # the database was unavailable: tried again
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
                space_id
                for space_id in sorted(needed - self._given_up)
                if not self.has_space(space_id)
            ]
            rows = [await spaces.by_id(conn, space_id) for space_id in lacking]
            return needed, rows, await spaces.links(conn)

    async def run(self) -> None:
        """Until cancelled: check models fully, and load what new live indexes need."""
        await tasks.every(_EVERY_S, self._tick, name="models", wake=self._woken)

    async def _tick(self) -> None:
        await self._check_rest()
        await self.load_needed()
        await self.follow_prompts()

    async def follow_prompts(self) -> None:
        """Use the query prompts that were set for spaces meanwhile; no vector depends on them."""
        await verification.follow_prompts(self._engine, self._loaded)

    async def _check_rest(self) -> None:
        """A model whose canaries moved stops serving."""
        async with contextlib.aclosing(
            verification.check_rest(self._engine, self._loaded)
        ) as moved:
            async for loaded, reason in moved:
                is_default = self._loaded.is_default(loaded)
                self.problems[self.settings.default if is_default else loaded.name] = reason
                self._given_up.add(loaded.space_id)
                self._loader.refuse(loaded, reason)

    def move(self, loaded: Loaded, row: spaces.SpaceRow) -> None:
        """Serve another space that the model was shown to be equal to."""
        changed = self._loaded.replace(loaded, space_id=row.id, fingerprint=row.fingerprint)
        self.problems.pop(row.fingerprint, None)
        if changed is not None and not self._loaded.holds(changed):  # its own model serves it
            self._loader.close_when_unused(changed)

    async def close(self) -> None:
        """Loads in progress are cancelled; no request may be running."""
        await self._resolver.close()
        await self._loader.close()
