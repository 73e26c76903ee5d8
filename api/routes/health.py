import asyncio
from collections.abc import Iterator

from litestar import Response, get
from litestar.di import NamedDependency
from sqlalchemy import text

from api.schemas import health as health_schemas
from api.service import Service
from embedding.errors import Overloaded
from migrations import schema

# Below the five seconds in which `/readyz` has to notice that PostgreSQL is gone.
CHECK_TIMEOUT_S = 2.0
_asking: set[asyncio.Task[str]] = set()


@get("/healthz", operation_id="healthz", summary="Whether the process answers")
async def healthz(service: NamedDependency[Service]) -> Response[health_schemas.Health]:
    return Response(
        health_schemas.Health(status="ok"), headers={"X-Vecmark-Instance": service.instance}
    )


@get(
    "/readyz",
    operation_id="readyz",
    summary="Whether it can index and search: each part is tried",
)
async def readyz(service: NamedDependency[Service]) -> Response[health_schemas.Readiness]:
    """503 with the reasons where it can't."""
    checks, warnings = await _checks(service)
    ready = all(found == "ok" for found in checks.values())
    answer = health_schemas.Readiness(
        status="ok" if ready else "unavailable", checks=checks, warnings=warnings
    )
    return Response(answer, status_code=200 if ready else 503)


@get("/healthcheck", operation_id="healthcheck", summary="`/readyz` in one word")
async def healthcheck(service: NamedDependency[Service]) -> Response[health_schemas.Health]:
    checks, _ = await _checks(service)
    ready = all(found == "ok" for found in checks.values())
    return Response(
        health_schemas.Health(status="ok" if ready else "unavailable"),
        status_code=200 if ready else 503,
    )


async def _checks(service: Service) -> tuple[dict[str, str], list[str]]:
    database, model = await asyncio.gather(_database(service), _model(service))
    checks = {**database, "model": model, "tasks": _tasks(service), "replica": _replica(service)}
    return checks, list(_warnings(service))


def _warnings(service: Service) -> Iterator[str]:
    models = service.models
    for loaded in models.loaded:
        if loaded.report.level != "quiet":
            yield f"{loaded.name}: {loaded.report.describe()}"
        if (problem := loaded.model.status().problem) is not None:
            yield f"{loaded.name}: {problem}"
    yield from (f"{name}: {reason}" for name, reason in models.problems.items())
    yield from models.warnings


def _tasks(service: Service) -> str:
    died = [f"{name} ended ({reason})" for name, reason in service.dead_tasks.items()]
    return "; ".join([*died, "restart the service"]) if died else "ok"


def _replica(service: Service) -> str:
    """Whether others count on this process, and it has what they count on."""
    replica = service.replica
    if not replica.is_registered:
        return "not registered with the database for some seconds: searches wait"
    loading = replica.lacking - service.models.given_up
    if loading:
        return f"{len(loading)} model(s) that collections are searched with are being loaded"
    return "ok"


async def _database(service: Service) -> dict[str, str]:
    asking = asyncio.create_task(_revision(service), name="readyz-database")
    _asking.add(asking)
    asking.add_done_callback(_answered)
    # Not `asyncio.timeout`: a cancelled query waits for the server, which may be what hangs.
    await asyncio.wait({asking}, timeout=CHECK_TIMEOUT_S)
    if not asking.done():
        asking.cancel()
        reason = f"gives no answer within {CHECK_TIMEOUT_S:.0f} s"
        return {"database": reason, "schema": "unknown"}
    try:
        revision = asking.result()
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        return {"database": f"cannot be reached: {reason[:200]}", "schema": "unknown"}
    if revision != schema.HEAD:
        return {"database": "ok", "schema": f"at {revision}, {schema.HEAD} is needed"}
    return {"database": "ok", "schema": "ok"}


async def _revision(service: Service) -> str:
    async with service.engine.connect() as conn:
        query = text("SELECT version_num FROM alembic_version")
        return str((await conn.execute(query)).scalar_one())


def _answered(asking: asyncio.Task[str]) -> None:
    """An answer that comes too late interests nobody any more, nor does its error."""
    _asking.discard(asking)
    if not asking.cancelled():
        asking.exception()


async def _model(service: Service) -> str:
    """A real forward of the default model, and what is known of all that collections need."""
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
        return f"gives no vector: {error or type(error).__name__}"
    return "ok"


ROUTES = [healthz, readyz, healthcheck]
