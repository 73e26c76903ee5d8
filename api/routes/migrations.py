from typing import Literal

import msgspec
from litestar import Response, get, patch, post
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery
from litestar.response import ServerSentEvent

from api.http import bodies, openapi, problems
from api.routes.documents import AnyRequest
from api.schemas import migrations as migration_schemas
from api.schemas.migrations import Migration, NotNeeded, Plan
from api.schemas.reports import Report
from api.service import Service
from api.services import migrations, report_page
from migrations.reembed import migration as reembed

PATH = "/v1/collections/{collection:str}/migrations"
ONE = PATH + "/{migration_id:str}"

LOCATION = ResponseHeader(
    name="Location", description="Where the migration is shown.", value="", documentation_only=True
)


@post(
    PATH,
    operation_id="start_migration",
    operation_class=openapi.body(migration_schemas.NewMigration),
    summary="Move a collection to another model, or to other chunks",
    status_code=202,
    response_headers=[LOCATION],
    responses=problems.documented(404, 409, 413, 415, 422, 429, 503),
)
async def start(
    service: NamedDependency[Service], request: AnyRequest, collection: FromPath[str]
) -> Response[Migration | NotNeeded]:
    """202 with the migration; 200 where nothing has to be embedded; 409 while another runs."""
    kind = migration_schemas.NewMigration
    sent = await bodies.read(request, kind, service.settings.max_body_bytes)
    made = await migrations.start(service, collection, sent)
    if isinstance(made, NotNeeded):
        return Response(made, status_code=200)
    place = f"/v1/collections/{collection}/migrations/{made}"
    found = await migrations.show(service, collection, str(made))
    return Response(found, status_code=202, headers={"Location": place})


@post(
    f"{PATH}/plan",
    operation_id="plan_migration",
    operation_class=openapi.body(migration_schemas.PlanRequest),
    summary="What a migration would take, measured on this collection and machine",
    status_code=200,
    responses=problems.documented(404, 413, 415, 422, 429, 503),
)
async def plan(
    service: NamedDependency[Service], request: AnyRequest, collection: FromPath[str]
) -> Plan:
    """A sample is cut and embedded for up to ten seconds; nothing is stored."""
    kind = migration_schemas.PlanRequest
    sent = await bodies.read(request, kind, service.settings.max_body_bytes)
    return await migrations.plan(service, collection, sent)


@get(
    PATH,
    operation_id="list_migrations",
    summary="List a collection's migrations, the newest first",
    responses=problems.documented(404, 503),
)
async def every(
    service: NamedDependency[Service], collection: FromPath[str]
) -> migration_schemas.MigrationList:
    return await migrations.list_all(service, collection)


@get(
    ONE,
    operation_id="get_migration",
    summary="Show where a migration stands",
    responses=problems.documented(404, 503),
)
async def get_one(
    service: NamedDependency[Service], collection: FromPath[str], migration_id: FromPath[str]
) -> Migration:
    return await migrations.show(service, collection, migration_id)


@patch(
    ONE,
    operation_id="throttle_migration",
    operation_class=openapi.body(migration_schemas.ThrottleRequest),
    summary="Change how fast a backfill may be",
    responses=problems.documented(404, 409, 413, 415, 422, 429, 503),
)
async def throttle(
    service: NamedDependency[Service],
    request: AnyRequest,
    collection: FromPath[str],
    migration_id: FromPath[str],
) -> Migration:
    """`null` takes a bound away; workers follow within about a second."""
    kind = migration_schemas.ThrottleRequest
    sent = await bodies.read(request, kind, service.settings.max_body_bytes)
    changes: dict[str, object] = msgspec.to_builtins(sent)

    async def order(found: reembed.Migration) -> None:
        await service.commands.throttle(found, changes)

    return await migrations.apply(service, collection, migration_id, order)


@post(
    f"{ONE}/cutover",
    operation_id="cut_over",
    operation_class=openapi.body(migration_schemas.CutoverRequest),
    summary="Let the target answer, of a migration that is ready or blocked",
    status_code=202,
    responses=problems.documented(404, 409, 413, 415, 422, 429, 503),
)
async def cut_over(
    service: NamedDependency[Service],
    request: AnyRequest,
    collection: FromPath[str],
    migration_id: FromPath[str],
) -> Migration:
    """`force` overrules gates that failed, and is recorded; texts that failed have to be waived."""
    kind, limit = migration_schemas.CutoverRequest, service.settings.max_body_bytes
    sent = await bodies.read(request, kind, limit, empty=b"{}")
    bodies.check_text(sent.force or "", "force")

    async def order(found: reembed.Migration) -> None:
        await service.commands.cut_over(found, force=sent.force, waive_failed=sent.waive_failed)

    return await migrations.apply(service, collection, migration_id, order)


@post(
    f"{ONE}/rollback",
    operation_id="roll_back",
    operation_class=openapi.body(migration_schemas.RollbackRequest),
    summary="Let the old index answer again",
    status_code=200,
    responses=problems.documented(404, 409, 413, 415, 422, 429, 503),
)
async def roll_back(
    service: NamedDependency[Service],
    request: AnyRequest,
    collection: FromPath[str],
    migration_id: FromPath[str],
) -> Migration:
    """What is pending for it is embedded first; refused where something would be lost."""
    kind, limit = migration_schemas.RollbackRequest, service.settings.max_body_bytes
    sent = await bodies.read(request, kind, limit, empty=b"{}")
    bodies.check_text(sent.force or "", "force")

    async def order(found: reembed.Migration) -> None:
        await service.commands.roll_back(found, force=sent.force)

    return await migrations.apply(service, collection, migration_id, order)


def _plain(name: Literal["pause", "resume", "cancel", "retire"], summary: str) -> HTTPRouteHandler:
    """A route for an order that has nothing more to say."""

    @post(
        f"{ONE}/{name}",
        operation_id=f"{name}_migration",
        summary=summary,
        status_code=200,
        responses=problems.documented(404, 409, 503),
        name=f"{name}_migration",
    )
    async def route(
        service: NamedDependency[Service], collection: FromPath[str], migration_id: FromPath[str]
    ) -> Migration:
        return await migrations.apply(
            service, collection, migration_id, getattr(service.commands, name)
        )

    return route


@get(
    f"{ONE}/report",
    operation_id="get_migration_report",
    summary="What the verification found",
    responses=problems.documented(404, 503),
)
async def report(
    service: NamedDependency[Service],
    collection: FromPath[str],
    migration_id: FromPath[str],
    format: FromQuery[Literal["json", "text"]] = "json",  # noqa: A002 - the parameter's name
) -> Response[Report] | Response[str]:
    """`format=text` is a page for a terminal."""
    found, content = await migrations.read_report(service, collection, migration_id)
    if format == "json":
        return Response(content)
    title = f"Migration {found.id} of {collection}: {found.state}"
    return Response(report_page.render(title, content), media_type="text/plain; charset=utf-8")


@get(
    f"{ONE}/events",
    operation_id="watch_migration",
    summary="Follow a migration as server-sent events",
    responses=problems.documented(404, 503),
)
async def events(
    service: NamedDependency[Service], collection: FromPath[str], migration_id: FromPath[str]
) -> ServerSentEvent:
    """An event `migration` with the whole of it at every change; the last when it is over.

    The service's own stop ends the stream, too: connect again.
    """
    await migrations.find(service, collection, migration_id)
    return ServerSentEvent(migrations.stream_events(service, collection, migration_id))


ROUTES = [
    start,
    plan,
    every,
    get_one,
    throttle,
    cut_over,
    roll_back,
    _plain("pause", "Stop it where it is, until it is resumed"),
    _plain("resume", "Go on after a pause, a failure, or what blocked it was mended"),
    _plain("cancel", "Drop the target; the collection stays as it was"),
    _plain("retire", "End the time in which it could be rolled back, and drop the old index"),
    report,
    events,
]
