"""What the routes work with: opened by `api.lifespan`, kept as `app.state.service`."""

import dataclasses
import uuid

from sqlalchemy.ext.asyncio import AsyncEngine

from api.settings import Settings
from embedding.chunking import Chunking
from indexing import errors
from indexing.catalog import Catalog, Collection
from indexing.indexer import Indexer
from indexing.models import Loaded, Models
from indexing.searcher import Searcher
from indexing.sweeper import Sweeper
from storage.errors import CollectionNotFound

DEFAULT_COLLECTION = "default"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Service:
    settings: Settings
    engine: AsyncEngine
    models: Models
    catalog: Catalog
    indexer: Indexer
    searcher: Searcher
    sweeper: Sweeper
    instance: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)

    async def collection(self, name: str) -> Collection:
        """Raises CollectionNotFound; `default` is made on first use."""
        try:
            return await self.catalog.find(name)
        except CollectionNotFound:
            if name != DEFAULT_COLLECTION:
                raise
        found, _ = await self.create(name, None, Chunking())
        return found

    async def create(
        self, name: str, model: str | None, chunking: Chunking
    ) -> tuple[Collection, bool]:
        """A collection of `model` (None: the default) and whether it is new.

        Raises CollectionExists, ChunkingInvalid, EmbeddingError, ModelMissing.
        """
        loaded = await self.model(model)
        tokenizer, prompt = loaded.model.tokenizer, loaded.model.space.document_prompt
        return await self.catalog.create(name, loaded, chunking.resolve(tokenizer, prompt))

    async def model(self, name: str | None) -> Loaded:
        """The default model, or the one that a request names, loaded where it is not yet."""
        default = self.models.default
        if name is not None and (default is None or name not in self._default_names(default)):
            return await self.models.load_named(name)
        if default is None:
            reason = self.models.problems.get(self.settings.model, "it is still being loaded")
            raise errors.LoadRefused(
                f"the default model {self.settings.model!r} cannot be used: {reason}"
            )
        return default

    def _default_names(self, default: Loaded) -> set[str]:
        return {self.settings.model, default.model.description.name}
