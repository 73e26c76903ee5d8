"""The parts that the routes work with, opened by `api.lifespan` as `app.state.service`."""

import asyncio
import contextlib
import dataclasses
import uuid
from collections.abc import Coroutine, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from api.settings import Settings
from embedding.text.chunking import Chunking
from host import cpu
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
from storage.names import DEFAULT_COLLECTION


@dataclasses.dataclass(frozen=True, kw_only=True)
class Service:
    """The parts of a running process, with or without HTTP.

    `dead_tasks`: background tasks that ended, and why. `is_worker`: this process works on
    migrations and on the backlog. `stopping` ends streams that would last as long as their clients.
    """

    settings: Settings
    engine: AsyncEngine
    models: ModelPool
    catalog: Catalog
    indexer: Indexer
    searcher: Searcher
    query_log: QueryLog
    replica: Replica
    sweeper: Sweeper
    backlog: Backlog
    starter: Starter
    commands: MigrationCommands
    dead_tasks: Mapping[str, str]
    is_worker: bool
    stopping: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    instance: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)

    async def collection(self, name: str) -> Collection:
        """Raises CollectionNotFound; `default` is created on first use."""
        try:
            return await self.catalog.find(name)
        except CollectionNotFound:
            if name != DEFAULT_COLLECTION:
                raise
        collection, _ = await self.create(name, None, Chunking())
        return collection

    async def create(
        self, name: str, model: str | None, chunking: Chunking
    ) -> tuple[Collection, bool]:
        """A collection of `model` (None: the default), and whether it is new.

        Raises CollectionExists, ChunkingInvalid, and what `using` does.
        """
        async with self.models.using(model) as loaded:
            tokenizer, prompt = loaded.model.tokenizer, loaded.model.space.document_prompt
            resolved = chunking.resolve(tokenizer, prompt)
            try:
                return await self.catalog.create(name, loaded, resolved)
            finally:
                self.models.keep(loaded)

    def using(self, name: str | None) -> contextlib.AbstractAsyncContextManager[Loaded]:
        """The default model, or the named one: loaded on demand, kept loaded during the block.

        A name is a hub id, the name of an added model or of a directory under MODEL_ROOTS,
        `bundled`, or the fingerprint of a space. Raises EmbeddingError, ModelUnknown, ModelMissing,
        LoadRefused, NoMemory, Busy.
        """
        return self.models.using(name)


def build(
    settings: Settings,
    engine: AsyncEngine,
    models: ModelPool,
    dead_tasks: Mapping[str, str],
    *,
    serves: bool,
) -> Service:
    """The service on an open database; a process that does not `serve` is a worker."""
    catalog = Catalog(engine)
    query_log = QueryLog(keeps=settings.keep_queries)
    is_worker = settings.worker or not serves
    replica = Replica(engine, models, query_log, serves=serves, works=is_worker)
    sweeper = Sweeper(engine)
    backlog = Backlog(engine, models)
    return Service(
        settings=settings,
        engine=engine,
        models=models,
        catalog=catalog,
        indexer=Indexer(engine, models, catalog),
        searcher=Searcher(engine, models, catalog, query_log=query_log, replica=replica),
        query_log=query_log,
        replica=replica,
        sweeper=sweeper,
        backlog=backlog,
        starter=Starter(engine, models),
        commands=MigrationCommands(engine, models, backlog, sweeper.wake),
        dead_tasks=dead_tasks,
        is_worker=is_worker,
    )


def background_tasks(service: Service) -> list[Coroutine[Any, Any, None]]:
    """What runs as long as the service does."""
    always = [
        service.replica.run(),
        service.query_log.run(service.engine),
        service.models.run(),
    ]
    return [*always, *_worker_tasks(service)] if service.is_worker else always


def _worker_tasks(service: Service) -> list[Coroutine[Any, Any, None]]:
    """The work that any number of workers share."""
    settings = service.settings
    builder = HnswBuilder(
        service.engine,
        service.models,
        target_recall=settings.target_recall,
        workers=max(0, cpu.count() - 1),
    )
    keeper = HnswKeeper(service.engine, builder, service.indexer, min_rows=settings.hnsw_min_rows)
    worker = MigrationWorker(
        service.engine,
        service.models,
        backlog=service.backlog,
        builder=builder,
        replica=service.replica,
        hnsw_min_rows=settings.hnsw_min_rows,
        on_retired=service.sweeper.wake,
    )
    return [keeper.run(), service.backlog.run(), service.sweeper.run(), worker.run()]
