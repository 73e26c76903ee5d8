"""The models in memory: each found by its stored space, and how many requests use it."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Iterator
from typing import Any

from embedding import model
from embedding.canaries import check
from embedding.encoders.encoder import Encoded
from indexing import errors


@dataclasses.dataclass(eq=False)
class Use:
    """A model's memory, when it was last used (seconds since the epoch), and its users (`pins`)."""

    memory_bytes: int
    last_used: float = dataclasses.field(default_factory=time.time)
    pins: int = 0


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A model that may write and serve: its canaries (all of them if `full`) did not move.

    `fingerprint` is that of the stored space; the model may have another one that is linked to it.
    """

    model: model.LoadedModel
    space_id: int
    fingerprint: str
    report: check.CanaryReport
    full: bool
    use: Use

    @property
    def name(self) -> str:
        return self.model.description.name

    @property
    def memory_bytes(self) -> int:
        return self.use.memory_bytes

    @property
    def last_used(self) -> float:
        """Seconds since the epoch."""
        return self.use.last_used

    def space_of(self, encoded: Encoded) -> int:
        """The stored space that a result belongs to. Raises LoadRefused for another space."""
        if encoded.fingerprint != self.model.space.fingerprint:
            raise errors.LoadRefused(
                f"{self.name} returned a vector of another space ({encoded.fingerprint})"
            )
        return self.space_id


class LoadedModels:
    """`default` is the model of new collections, and None while it cannot be used.

    `needed`: ids of the spaces that live indexes are searched in.
    """

    def __init__(self) -> None:
        self._by_space: dict[int, Loaded] = {}
        self.default: Loaded | None = None
        self.needed: frozenset[int] = frozenset()
        self._unpinned = asyncio.Event()

    def __iter__(self) -> Iterator[Loaded]:
        return iter(list(self._by_space.values()))

    def get(self, space_id: int) -> Loaded | None:
        return self._by_space.get(space_id)

    def by_fingerprint(self, fingerprint: str) -> Loaded | None:
        """The model that makes vectors of this space, by itself or through a link."""
        return next(
            (
                loaded
                for loaded in self._by_space.values()
                if fingerprint in (loaded.model.space.fingerprint, loaded.fingerprint)
            ),
            None,
        )

    @property
    def serving(self) -> list[Loaded]:
        """The default and the models of live indexes."""
        return [
            loaded for loaded in self if loaded.space_id in self.needed or self.is_default(loaded)
        ]

    def holds(self, loaded: Loaded) -> bool:
        return any(other.model is loaded.model for other in self) or self.is_default(loaded)

    def is_default(self, loaded: Loaded) -> bool:
        return self.default is not None and self.default.model is loaded.model

    @property
    def memory_bytes(self) -> int:
        return sum(loaded.memory_bytes for loaded in self._by_space.values())

    def add(self, loaded: Loaded) -> None:
        self._by_space[loaded.space_id] = loaded

    def remove(self, loaded: Loaded) -> None:
        for key, other in list(self._by_space.items()):
            if other.model is loaded.model:
                del self._by_space[key]
        if self.is_default(loaded):
            self.default = None

    def replace(self, loaded: Loaded, **changes: Any) -> Loaded | None:
        """Change the record of this model; None if it was unloaded meanwhile."""
        record = next((other for other in self if other.model is loaded.model), None)
        if record is None:
            return None
        changed = dataclasses.replace(record, **changes)
        del self._by_space[record.space_id]
        self._by_space.setdefault(changed.space_id, changed)
        if self.is_default(loaded):
            self.default = changed
        return changed

    @contextlib.contextmanager
    def pinned(self, loaded: Loaded) -> Iterator[Loaded]:
        """Keep the model from being closed while in the block, even if it is removed."""
        use = loaded.use
        use.pins += 1
        use.last_used = time.time()
        try:
            yield loaded
        finally:
            use.pins -= 1
            use.last_used = time.time()
            if not use.pins:
                self._unpinned.set()
                self._unpinned = asyncio.Event()

    async def unpinned(self) -> None:
        """Wait until the last request leaves some model."""
        await self._unpinned.wait()
