"""The parts of a process put together, and the tasks that run in it."""

import os
from collections.abc import Coroutine, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from api.service import Service
from api.settings import Settings
from indexing.backlog import Backlog
from indexing.catalog import Catalog
from indexing.hnsw import HnswKeeper
from indexing.hnsw_builder import HnswBuilder
from indexing.indexer import Indexer
from indexing.models import Models
from indexing.presence import Presence
from indexing.searcher import Searcher
from indexing.searches import Searches
from indexing.sweeper import Sweeper
from migrations.reembed.orders import Orders
from migrations.reembed.runner import Runner
from migrations.reembed.starting import Starter


def service(
    settings: Settings,
    engine: AsyncEngine,
    models: Models,
    died: Mapping[str, str],
    *,
    serves: bool,
) -> Service:
    catalog = Catalog(engine)
    searches = Searches(keeps=settings.keep_queries)
    works = settings.worker or not serves
    presence = Presence(engine, models, searches, serves=serves, works=works)
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
        orders=Orders(engine, models, backlog, sweeper.wake),
        died=died,
        works=works,
    )


def tasks(service: Service) -> list[Coroutine[Any, Any, None]]:
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
    runner = Runner(
        service.engine,
        service.models,
        backlog=service.backlog,
        builder=builder,
        presence=service.presence,
        hnsw_min_rows=settings.hnsw_min_rows,
        retired=service.sweeper.wake,
    )
    return [keeper.run(), service.backlog.run(), service.sweeper.run(), runner.run()]
