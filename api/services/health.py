"""Whether the service can index and search: each part is tried, with a time-out."""

import asyncio
from collections.abc import Iterator

from sqlalchemy import text

from api.schemas import health as health_schemas
from api.service import Service
from embedding.errors import Overloaded
from migrations import schema

# Below the five seconds in which `/readyz` has to notice that PostgreSQL is gone.
CHECK_TIMEOUT_S = 2.0
_REVISION = text("SELECT version_num FROM alembic_version")
# Kept until they end: asyncio holds tasks weakly.
_queries: set[asyncio.Task[str]] = set()


async def check(service: Service) -> health_schemas.Readiness:
    """Try every part: the database, the models, the background tasks, the registration."""
    database, model = await asyncio.gather(_check_database(service), _check_model(service))
    checks = {
        **database,
        "model": model,
        "tasks": _check_tasks(service),
        "replica": _check_replica(service),
    }
    ready = all(result == "ok" for result in checks.values())
    return health_schemas.Readiness(
        status="ok" if ready else "unavailable", checks=checks, warnings=list(_warnings(service))
    )


def _warnings(service: Service) -> Iterator[str]:
    models = service.models
    for loaded in models.loaded:
        if loaded.report.level != "quiet":
            yield f"{loaded.name}: {loaded.report.describe()}"
        if (problem := loaded.model.status().problem) is not None:
            yield f"{loaded.name}: {problem}"
    yield from (f"{name}: {reason}" for name, reason in models.problems.items())
    yield from models.warnings


def _check_tasks(service: Service) -> str:
    dead = [f"{name} ended ({reason})" for name, reason in service.dead_tasks.items()]
    return "; ".join([*dead, "restart the service"]) if dead else "ok"


def _check_replica(service: Service) -> str:
    """Whether other processes know this one, and it has loaded what they expect of it."""
    replica = service.replica
    if not replica.is_registered:
        return "has not been registered in the database for some seconds; searches are waiting"
    loading = replica.lacking - service.models.given_up
    if loading:
        return f"{len(loading)} model(s) that searches need are still being loaded"
    return "ok"


async def _check_database(service: Service) -> dict[str, str]:
    query = asyncio.create_task(_read_revision(service), name="readyz-database")
    _queries.add(query)
    query.add_done_callback(_forget)
    # Not `asyncio.timeout`: a cancelled query waits for the server, which may be what hangs.
    await asyncio.wait({query}, timeout=CHECK_TIMEOUT_S)
    if not query.done():
        query.cancel()
        reason = f"does not answer within {CHECK_TIMEOUT_S:.0f} s"
        return {"database": reason, "schema": "unknown"}
    try:
        revision = query.result()
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        return {"database": f"cannot be reached: {reason[:200]}", "schema": "unknown"}
    if revision != schema.HEAD:
        return {"database": "ok", "schema": f"at {revision}, {schema.HEAD} is needed"}
    return {"database": "ok", "schema": "ok"}


async def _read_revision(service: Service) -> str:
    async with service.engine.connect() as conn:
        return str((await conn.execute(_REVISION)).scalar_one())


def _forget(query: asyncio.Task[str]) -> None:
    """Nobody waits for a late answer any more, so its error is dropped, too."""
    _queries.discard(query)
    if not query.cancelled():
        query.exception()


async def _check_model(service: Service) -> str:
    """Encode with the default model; look at the state of all that collections need."""
    models = service.models
    if models.default is None:
        return models.problems.get(service.settings.model, "not loaded")
    for loaded in models.serving:
        if (problem := loaded.model.status().problem) is not None:
            return f"{loaded.name}: {problem}"
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S), models.using(None) as default:
            await default.model.encode_query("ready?")
    except Overloaded:
        return "ok"  # it encodes all the time
    except Exception as error:
        return f"encoding fails: {error or type(error).__name__}"
    return "ok"
