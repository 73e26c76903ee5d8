"""What the routes work with: opened by `api.lifespan`, kept as `app.state.service`."""

import asyncio
import contextlib
import dataclasses
import os
import uuid
from collections.abc import Coroutine, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from api.settings import Settings
from embedding.text.chunking import Chunking
from indexing.catalog import Catalog, Collection
from indexing.documents.backlog import Backlog
from indexing.documents.indexer import Indexer
from indexing.hnsw.builder import HnswBuilder
from indexing.hnsw.keeper import HnswKeeper
from indexing.models.loaded import Loaded
from indexing.models.pool import ModelPool
from indexing.query_log import QueryLog
from indexing.replica import Replica
from indexing.searcher import Searcher
from indexing.sweeper import Sweeper
from migrations.reembed.commands import MigrationCommands
from migrations.reembed.start import Starter
from migrations.reembed.worker import MigrationWorker
from storage.errors import CollectionNotFound

DEFAULT_COLLECTION = "default"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Service:
    """`died`: background tasks that ended, and why; `works`: migrations and the backlog, too.

    `stopping` ends streams that would last as long as their clients.
    """

    settings: Settings
    engine: AsyncEngine
    models: ModelPool
    catalog: Catalog
    indexer: Indexer
    searcher: Searcher
    searches: QueryLog
    presence: Replica
    sweeper: Sweeper
    backlog: Backlog
    starter: Starter
    commands: MigrationCommands
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


def build(
    settings: Settings,
    engine: AsyncEngine,
    models: ModelPool,
    died: Mapping[str, str],
    *,
    serves: bool,
) -> Service:
    catalog = Catalog(engine)
    searches = QueryLog(keeps=settings.keep_queries)
    works = settings.worker or not serves
    presence = Replica(engine, models, searches, serves=serves, works=works)
    sweeper = Sweeper(engine)
    backlog = Backlog(engine, models)
    return Service(
        settings=settings,
        engine=engine,
        models=models,
        catalog=catalog,
        indexer=Indexer(engine, models, catalog),
        searcher=Searcher(engine, models, catalog, searches=searches, presence=presence),
        searches=searches,
        presence=presence,
        sweeper=sweeper,
        backlog=backlog,
        starter=Starter(engine, models, catalog),
        commands=MigrationCommands(engine, models, backlog, sweeper.wake),
        died=died,
        works=works,
    )


def background_tasks(service: Service) -> list[Coroutine[Any, Any, None]]:
    always = [
        service.presence.run(),
        service.searches.run(service.engine),
        service.models.run(),
    ]
    return [*always, *_work(service)] if service.works else always


def _work(service: Service) -> list[Coroutine[Any, Any, None]]:
    """What any number of workers share."""
    settings = service.settings
    builder = HnswBuilder(
        service.engine,
        service.models,
        target_recall=settings.target_recall,
        workers=max(0, (os.cpu_count() or 1) - 1),
    )
    keeper = HnswKeeper(service.engine, builder, service.indexer, min_rows=settings.hnsw_min_rows)
    runner = MigrationWorker(
        service.engine,
        service.models,
        backlog=service.backlog,
        builder=builder,
        presence=service.presence,
        hnsw_min_rows=settings.hnsw_min_rows,
        retired=service.sweeper.wake,
    )
    return [keeper.run(), service.backlog.run(), service.sweeper.run(), runner.run()]
