"""Whether the process answers, and whether it can index and search."""

from litestar import Response, get
from litestar.di import NamedDependency

from api.schemas import health as health_schemas
from api.service import Service
from api.services import health as health_services


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
    """503 with the reasons if it can't."""
    readiness = await health_services.check(service)
    return Response(readiness, status_code=200 if readiness.status == "ok" else 503)


@get("/healthcheck", operation_id="healthcheck", summary="Short form of `/readyz`")
async def healthcheck(service: NamedDependency[Service]) -> Response[health_schemas.Health]:
    readiness = await health_services.check(service)
    return Response(
        health_schemas.Health(status=readiness.status),
        status_code=200 if readiness.status == "ok" else 503,
    )


ROUTES = [healthz, readyz, healthcheck]
