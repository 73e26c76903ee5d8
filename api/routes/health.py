import asyncio

from litestar import Response, get
from litestar.di import NamedDependency
from sqlalchemy import text

from api import schemas
from api.service import Service
from migrations import schema

# Below the five seconds in which `/readyz` has to notice that PostgreSQL is gone.
CHECK_TIMEOUT_S = 2.0


@get("/healthz", operation_id="healthz", summary="Whether the process answers")
async def healthz(service: NamedDependency[Service]) -> Response[schemas.Health]:
    return Response(schemas.Health(status="ok"), headers={"X-Vecmark-Instance": service.instance})


@get(
    "/readyz",
    operation_id="readyz",
    summary="Whether it can index and search: each part is tried",
)
async def readyz(service: NamedDependency[Service]) -> Response[schemas.Readiness]:
    """503 with the reasons where it can't."""
    checks, warnings = await _checks(service)
    ready = all(found == "ok" for found in checks.values())
    answer = schemas.Readiness(
        status="ok" if ready else "unavailable", checks=checks, warnings=warnings
    )
    return Response(answer, status_code=200 if ready else 503)


@get("/healthcheck", operation_id="healthcheck", summary="`/readyz` in one word")
async def healthcheck(service: NamedDependency[Service]) -> Response[schemas.Health]:
    checks, _ = await _checks(service)
    ready = all(found == "ok" for found in checks.values())
    return Response(
        schemas.Health(status="ok" if ready else "unavailable"), status_code=200 if ready else 503
    )


async def _checks(service: Service) -> tuple[dict[str, str], list[str]]:
    database, model = await asyncio.gather(_database(service), _model(service))
    warnings = [
        f"{loaded.model.description.name}: {loaded.report.describe()}"
        for loaded in service.models.loaded
        if loaded.report.level != "quiet"
    ]
    problems = [f"{name}: {reason}" for name, reason in service.models.problems.items()]
    return {**database, "model": model}, warnings + problems


async def _database(service: Service) -> dict[str, str]:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S), service.engine.connect() as conn:
            query = text("SELECT version_num FROM alembic_version")
            revision = (await conn.execute(query)).scalar_one()
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        return {"database": f"cannot be reached: {reason[:200]}", "schema": "unknown"}
    if revision != (head := schema.head()):
        return {"database": "ok", "schema": f"at {revision}, {head} is needed"}
    return {"database": "ok", "schema": "ok"}


async def _model(service: Service) -> str:
    """A real forward of the default model."""
    default = service.models.default
    if default is None:
        return service.models.problems.get(service.settings.model, "not loaded")
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await default.model.encode_query("ready?")
    except Exception as error:
        return f"gives no vector: {error or type(error).__name__}"
    return "ok"


ROUTES = [healthz, readyz, healthcheck]
