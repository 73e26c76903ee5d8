"""What the routes work with: opened by `api.lifespan`, kept as `app.state.service`."""

import asyncio
import contextlib
import dataclasses
import uuid
from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncEngine

from api.settings import Settings
from embedding.chunking import Chunking
from indexing.backlog import Backlog
from indexing.catalog import Catalog, Collection
from indexing.indexer import Indexer
from indexing.loaded import Loaded
from indexing.models import Models
from indexing.presence import Presence
from indexing.searcher import Searcher
from indexing.searches import Searches
from indexing.sweeper import Sweeper
from migrations.reembed.orders import Orders
from migrations.reembed.starting import Starter
from storage.errors import CollectionNotFound

DEFAULT_COLLECTION = "default"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Service:
    """`died`: background tasks that ended, and why; `works`: migrations and the backlog, too.

    `stopping` ends streams that would last as long as their clients.
    """

    settings: Settings
    engine: AsyncEngine
    models: Models
    catalog: Catalog
    indexer: Indexer
    searcher: Searcher
    searches: Searches
    presence: Presence
    sweeper: Sweeper
    backlog: Backlog
    starter: Starter
    orders: Orders
    died: Mapping[str, str]
    works: bool
    stopping: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
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

        Raises CollectionExists, ChunkingInvalid, and what `using` does.
        """
        async with self.models.using(model) as loaded:
            tokenizer, prompt = loaded.model.tokenizer, loaded.model.space.document_prompt
            resolved = chunking.resolve(tokenizer, prompt)
            try:
                return await self.catalog.create(name, loaded, resolved)
            finally:
                self.models.claim(loaded)

    def using(self, name: str | None) -> contextlib.AbstractAsyncContextManager[Loaded]:
        """The default model, or the one that a request names: loaded by need, kept in the block.

        A hub id, a name that was added, a directory's under MODEL_ROOTS, `bundled`, or a space's
        fingerprint. Raises EmbeddingError, ModelUnknown, ModelMissing, LoadRefused, NoMemory, Busy.
        """
        return self.models.using(name)
