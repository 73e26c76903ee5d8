"""Memory for models: what one will take, what this machine has, and the budget of them all."""

import asyncio
import contextlib
import ctypes
import time
from collections.abc import Iterator, Mapping

import psutil
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding.model_files import description
from host import memory as host_memory
from indexing import errors, figures, retries
from indexing.models.loaded import Loaded, LoadedModels
from storage import spaces

log = structlog.get_logger()

# How long a load waits for requests that use the models it needs unloaded.
_PATIENCE_S = 30.0
# Half: PostgreSQL, its builds of HNSW and requests in progress need the rest.
SHARE = 0.5
_MEGABYTE = 10**6
# A graph and the two instances compiled from it; MiniLM (91 MB of fp32 weights) takes 284 MB.
_GRAPH_COPIES = 3
_PARAMETER_BYTES = 4
# As objects of the tokenizers library: 1.8 MB of tokenizer.json take 33 MB.
_TOKENIZER_GROWTH = 16
_FIXED_BYTES = 16 * _MEGABYTE


def estimate(model: description.ModelDescription) -> int:
    """Bytes that serving the model will take, from its files alone."""
    is_table = model.modules[0].kind == "StaticEmbedding"
    weights = _parameters(model.space.manifest["modules"]) * _PARAMETER_BYTES
    tokenizer = _tokenizer_bytes(model) * _TOKENIZER_GROWTH
    return weights * (1 if is_table else _GRAPH_COPIES) + tokenizer + _FIXED_BYTES


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(psutil.Process().memory_info().rss)


def trim() -> None:
    """Let the C library return what it keeps after a model was closed: 46 of MiniLM's 277 MB."""
    with contextlib.suppress(OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)


def _parameters(modules: object) -> int:
    if not isinstance(modules, list):
        return 0
    weights = [module["weights"] for module in modules if "weights" in module]
    return sum(int(part["parameters"]) for part in weights if isinstance(part, Mapping))


def _tokenizer_bytes(model: description.ModelDescription) -> int:
    folders = {model.directory, model.directory / model.modules[0].folder}
    files = (folder / "tokenizer.json" for folder in folders)
    return max((file.stat().st_size for file in files if file.is_file()), default=0)


class MemoryBudget:
    """Frees memory by unloading the model that was used least recently.

    Never unloaded: the default, the models of live indexes, and any model while a request uses it.
    """

    def __init__(self, engine: AsyncEngine, loaded: LoadedModels, limit: int | None) -> None:
        self._engine = engine
        self._loaded = loaded
        self.limit = int(host_memory.available() * SHARE) if limit is None else limit
        # New live indexes, which a query that started earlier may have missed.
        self._announced: set[int] = set()

    def keep(self, space_id: int) -> None:
        """A live index of the space was created; call this while its model is still pinned."""
        self._announced.add(space_id)

    async def reserve(self, name: str, needs: int, *, patience_s: float = _PATIENCE_S) -> None:
        """Unload models until `needs` bytes are free for `name`. Raises NoMemory, Busy."""
        deadline = time.monotonic() + patience_s
        while (excess := self._loaded.memory_bytes + needs - self.limit) > 0:
            needed = await self._needed_spaces()
            unloadable = [loaded for loaded in self._loaded if not self._must_stay(loaded, needed)]
            if sum(loaded.memory_bytes for loaded in unloadable) < excess:
                raise self._no_memory(name, needs, needed)
            free = [loaded for loaded in unloadable if not loaded.use.pins]
            if free:
                await self._unload(min(free, key=lambda loaded: loaded.last_used), name)
            else:
                names = [loaded.name for loaded in unloadable]
                log.info("load_waits", model=name, for_requests_of=names)
                try:
                    async with asyncio.timeout(deadline - time.monotonic()):
                        await self._loaded.unpinned()
                except TimeoutError:
                    raise self._no_memory(name, needs, needed) from None

    async def _needed_spaces(self) -> set[int]:
        """Spaces that live indexes need."""
        announced = frozenset(self._announced)
        needed = {*await retries.reading(self._in_use), *self._announced}
        # What was announced before the query is part of its result from now on.
        self._announced -= announced
        return needed

    async def _in_use(self) -> list[int]:
        async with self._engine.connect() as conn:
            return list(await spaces.in_use(conn))

    def _must_stay(self, loaded: Loaded, needed: set[int]) -> bool:
        return loaded.space_id in needed or self._loaded.is_default(loaded)

    async def _unload(self, loaded: Loaded, name: str) -> None:
        self._loaded.remove(loaded)
        await asyncio.to_thread(loaded.model.close)
        log.info(
            "model_unloaded", model=loaded.name, bytes=loaded.memory_bytes, to_make_room_for=name
        )

    def _no_memory(self, name: str, needs: int, needed: set[int]) -> errors.NoMemory:
        return errors.NoMemory(
            name,
            needs=figures.format_bytes(needs),
            limit=figures.format_bytes(self.limit),
            loaded=list(self._describe_loaded(needed)),
        )

    def _describe_loaded(self, needed: set[int]) -> Iterator[str]:
        for loaded in self._loaded:
            if self._loaded.is_default(loaded):
                why = "the default"
            elif loaded.space_id in needed:
                why = "collections need it"
            else:
                why = "requests use it" if loaded.use.pins else "not enough by itself"
            yield f"{loaded.name} ({figures.format_bytes(loaded.memory_bytes)}, {why})"
