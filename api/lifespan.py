"""Opens what the service needs and closes it in reverse: database, models, background tasks."""

import asyncio
import concurrent.futures
import contextlib
import functools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any

import msgspec
import structlog
from litestar import Litestar
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from api import model_settings
from api import service as api_service
from api.service import Service
from api.settings import Settings
from embedding import loading as model_loading
from embedding.model import LoadedModel
from indexing import retries
from indexing.models.loader import finish_load
from indexing.models.pool import ModelPool
from migrations import schema
from storage import engine as database
from storage.embedded.postgres import EmbeddedPostgres
from storage.errors import SchemaAhead, SchemaBehind, StorageError

log = structlog.get_logger()

Announce = Callable[[str], None]
Loading = concurrent.futures.Future[LoadedModel]

_WATCH_EVERY_S = 1.0


@contextlib.asynccontextmanager
async def app_lifespan(
    app: Litestar,
    settings: Settings,
    announce: Announce,
    *,
    loading: Loading | None,
    public: bool,
) -> AsyncIterator[None]:
    """The lifespan of the app; `announce` is called with each step that can take long.

    `loading` is the default model, if it is being loaded already.
    """
    async with open_service(settings, announce, loading=loading, serves=True) as service:
        app.state.service = service
        with _advertise(service) if public else contextlib.nullcontext():
            yield


@contextlib.asynccontextmanager
async def open_service(
    settings: Settings, announce: Announce, *, loading: Loading | None, serves: bool
) -> AsyncIterator[Service]:
    """Everything but HTTP; a process that does not `serve` is only a worker."""
    async with contextlib.AsyncExitStack() as stack:
        if settings.database_url is not None:
            # First: a conversion of the model would delay the refusal.
            await _require_schema(database.psycopg_url(settings.database_url))
        announce(f"loading the model {settings.model}")
        # In parallel with the start of the database: each takes a second.
        loading = loading or model_loading.begin_loading(model_settings.from_settings(settings))
        stack.push_async_callback(finish_load, asyncio.wrap_future(loading))
        dead_tasks: dict[str, str] = {}
        engine = await stack.enter_async_context(_open_database(settings, announce, dead_tasks))
        models = ModelPool(engine, model_settings.from_settings(settings), settings.model_memory)
        stack.push_async_callback(models.close)
        await _load_models(models, asyncio.wrap_future(loading))
        service = api_service.build(settings, engine, models, dead_tasks, serves=serves)
        await stack.enter_async_context(
            _run_tasks(api_service.background_tasks(service), dead_tasks)
        )
        yield service


@contextlib.asynccontextmanager
async def _open_database(
    settings: Settings, announce: Announce, dead_tasks: dict[str, str]
) -> AsyncIterator[AsyncEngine]:
    async with _connect(settings, announce) as (engine, server):
        tasks = [] if server is None else [_watch_postgres(engine, server)]
        async with _run_tasks(tasks, dead_tasks):
            yield engine


@contextlib.asynccontextmanager
async def open_store(settings: Settings, announce: Announce) -> AsyncIterator[AsyncEngine]:
    """Only the database, for a command that works on it beside a service or without one."""
    if settings.database_url is not None:
        await _require_schema(database.psycopg_url(settings.database_url))
    async with _connect(settings, announce) as (engine, _server):
        yield engine


@contextlib.asynccontextmanager
async def _connect(
    settings: Settings, announce: Announce
) -> AsyncIterator[tuple[AsyncEngine, EmbeddedPostgres | None]]:
    """The database, checked, and the embedded server if there is one."""
    async with contextlib.AsyncExitStack() as stack:
        if settings.database_url is None:
            announce("starting PostgreSQL")
            server = EmbeddedPostgres(settings.data_dir, report=announce)
            # Before the start: `stop` also waits for a start that was cancelled.
            stack.push_async_callback(asyncio.to_thread, server.stop)
            url = await asyncio.to_thread(server.start)
            await retries.writing(functools.partial(_upgrade_schema, server, url))
        else:
            server = None
            url = database.psycopg_url(settings.database_url)
        engine = database.create_engine(url, pool_size=settings.pool_size)
        stack.push_async_callback(engine.dispose)
        await retries.writing(functools.partial(_check_extension, engine))
        yield engine, server


async def _upgrade_schema(server: EmbeddedPostgres, url: str) -> None:
    """Start the server again if it died just after its start."""
    await asyncio.to_thread(server.ensure_running)
    await asyncio.to_thread(schema.upgrade, url)


async def _check_extension(engine: AsyncEngine) -> None:
    async with engine.connect() as conn:
        await database.check_extension(conn)


async def _require_schema(url: str) -> None:
    try:
        state = await asyncio.to_thread(schema.current, url)
    except OperationalError as error:
        raise StorageError(
            f"the database cannot be used: {' '.join(str(error.orig).split()).rstrip('.?')}. Check "
            "that it is running and that VECMARK_DATABASE_URL is right"
        ) from error
    if state.is_ahead:
        raise SchemaAhead(state.current, state.head)
    if not state.is_current:
        raise SchemaBehind(
            f"the schema of this database is at {state.current or 'nothing'}, this program needs "
            f"{state.head}: run `vecmark db upgrade` with the same database URL"
        )


async def _watch_postgres(engine: AsyncEngine, server: EmbeddedPostgres) -> None:
    """Start the embedded PostgreSQL again when it has died."""
    while True:
        await asyncio.sleep(_WATCH_EVERY_S)
        try:
            async with engine.connect() as conn:
                await conn.execute(text("SELECT 1"))
        except database.FAILURES:
            try:
                if await asyncio.to_thread(server.ensure_running):
                    log.warning("postgresql_restarted")
            except Exception as error:  # tried again, and logged each time
                log.error("postgresql_not_restarted", reason=str(error))


async def _load_models(models: ModelPool, default: Awaitable[LoadedModel]) -> None:
    """The default model and that of every space in use; a missing model does not stop the start."""
    await models.load_default(default)
    await models.load_needed()
    log.info(
        "models_loaded",
        models=[loaded.name for loaded in models.loaded],
        bytes=models.memory_bytes,
        limit_bytes=models.memory_limit,
    )


@contextlib.asynccontextmanager
async def _run_tasks(
    coroutines: list[Coroutine[Any, Any, None]], dead_tasks: dict[str, str]
) -> AsyncIterator[None]:
    """Run tasks during the block; those that end early are logged and shown in `dead_tasks`."""
    tasks = [
        asyncio.create_task(coroutine, name=getattr(coroutine, "__qualname__", None))
        for coroutine in coroutines
    ]
    for task in tasks:
        task.add_done_callback(functools.partial(_report_death, dead_tasks))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _report_death(dead_tasks: dict[str, str], task: asyncio.Task[None]) -> None:
    if task.cancelled():
        return
    error = task.exception()
    dead_tasks[task.get_name()] = (
        "it ended" if error is None else f"{type(error).__name__}: {error}"
    )
    log.error("task_died", task=task.get_name(), exc_info=error)


@contextlib.contextmanager
def _advertise(service: Service) -> Iterator[None]:
    """Announce where this service runs, for the command line, as long as it does."""
    settings = service.settings
    path = settings.data_dir / "service.json"
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    content = {
        "url": settings.local_url,
        "store": settings.store,
        "pid": os.getpid(),
        "instance": service.instance,
    }
    path.write_bytes(msgspec.json.encode(content))
    try:
        yield
    finally:
        with contextlib.suppress(OSError, msgspec.DecodeError):
            if msgspec.json.decode(path.read_bytes()).get("instance") == service.instance:
                path.unlink()
