"""Re-embed migrations: planned, started, followed and commanded."""

from typing import Literal

import msgspec
from litestar import Response, get, patch, post
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import ServerSentEvent

from api.http import bodies, problems
from api.schemas import migrations as migration_schemas
from api.schemas.migrations import Migration, NotNeeded, Plan
from api.schemas.reports import Report
from api.service import Service
from api.services import migrations, report_page
from migrations.reembed import migration as reembed

PATH = "/v1/collections/{collection:str}/migrations"
ONE = PATH + "/{migration_id:str}"

# A missing body means no options.
_CUTOVER = migration_schemas.CutoverRequest()
_ROLLBACK = migration_schemas.RollbackRequest()

LOCATION = ResponseHeader(
    name="Location", description="The URL of the migration.", value="", documentation_only=True
)


@post(
    PATH,
    operation_id="start_migration",
    summary="Move a collection to another model or chunking",
    status_code=202,
    response_headers=[LOCATION],
    responses=problems.documented(404, 409, 413, 415, 422, 429, 503),
)
async def start(
    service: NamedDependency[Service],
    data: JSONBody[migration_schemas.NewMigration],
    collection: FromPath[str],
) -> Response[Migration | NotNeeded]:
    """202 with the migration; 200 if nothing has to be embedded; 409 while another one runs."""
    started = await migrations.start(service, collection, data)
    if isinstance(started, NotNeeded):
        return Response(started, status_code=200)
    migration = await migrations.show(service, collection, str(started))
    location = f"/v1/collections/{collection}/migrations/{started}"
    return Response(migration, status_code=202, headers={"Location": location})


@post(
    f"{PATH}/plan",
    operation_id="plan_migration",
    summary="Estimate a migration, measured on this collection and machine",
    status_code=200,
    responses=problems.documented(404, 413, 415, 422, 429, 503),
)
async def plan(
    service: NamedDependency[Service],
    data: JSONBody[migration_schemas.PlanRequest],
    collection: FromPath[str],
) -> Plan:
    """A sample is cut into chunks and embedded for up to ten seconds; nothing is stored."""
    return await migrations.plan(service, collection, data)


@get(
    PATH,
    operation_id="list_migrations",
    summary="List a collection's migrations, newest first",
    responses=problems.documented(404, 503),
)
async def list_all(
    service: NamedDependency[Service], collection: FromPath[str]
) -> migration_schemas.MigrationList:
    return await migrations.list_all(service, collection)


@get(
    ONE,
    operation_id="get_migration",
    summary="Show a migration and its progress",
    responses=problems.documented(404, 503),
)
async def get_one(
    service: NamedDependency[Service], collection: FromPath[str], migration_id: FromPath[str]
) -> Migration:
    return await migrations.show(service, collection, migration_id)


@patch(
    ONE,
    operation_id="throttle_migration",
    summary="Change the limits on a backfill's speed",
    responses=problems.documented(404, 409, 413, 415, 422, 429, 503),
)
async def throttle(
    service: NamedDependency[Service],
    data: JSONBody[migration_schemas.ThrottleRequest],
    collection: FromPath[str],
    migration_id: FromPath[str],
) -> Migration:
    """`null` removes a limit; workers follow within about a second."""
    changes: dict[str, object] = msgspec.to_builtins(data)

    async def command(migration: reembed.Migration) -> None:
        await service.commands.throttle(migration, changes)

    return await migrations.apply(service, collection, migration_id, command)


@post(
    f"{ONE}/cutover",
    operation_id="cut_over",
    summary="Switch searches to the new index of a ready or blocked migration",
    status_code=202,
    responses=problems.documented(404, 409, 413, 415, 422, 429, 503),
)
async def cut_over(
    service: NamedDependency[Service],
    collection: FromPath[str],
    migration_id: FromPath[str],
    data: JSONBody[migration_schemas.CutoverRequest] = _CUTOVER,
) -> Migration:
    """`force` overrules failed gates and is recorded; failed texts have to be waived."""
    bodies.check_text(data.force or "", "force")

    async def command(migration: reembed.Migration) -> None:
        await service.commands.cut_over(migration, force=data.force, waive_failed=data.waive_failed)

    return await migrations.apply(service, collection, migration_id, command)


@post(
    f"{ONE}/rollback",
    operation_id="roll_back",
    summary="Switch searches back to the old index",
    status_code=200,
    responses=problems.documented(404, 409, 413, 415, 422, 429, 503),
)
async def roll_back(
    service: NamedDependency[Service],
    collection: FromPath[str],
    migration_id: FromPath[str],
    data: JSONBody[migration_schemas.RollbackRequest] = _ROLLBACK,
) -> Migration:
    """Pending texts are embedded first; refused if documents would become unsearchable."""
    bodies.check_text(data.force or "", "force")

    async def command(migration: reembed.Migration) -> None:
        await service.commands.roll_back(migration, force=data.force)

    return await migrations.apply(service, collection, migration_id, command)


def _command(
    name: Literal["pause", "resume", "cancel", "retire"], summary: str
) -> HTTPRouteHandler:
    """The route of a command without options."""

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
    summary="Show the verification report",
    responses=problems.documented(404, 503),
)
async def report(
    service: NamedDependency[Service],
    collection: FromPath[str],
    migration_id: FromPath[str],
    format: FromQuery[Literal["json", "text"]] = "json",  # noqa: A002 - the parameter's name
) -> Response[Report] | Response[str]:
    """`format=text` gives a page for a terminal."""
    migration, content = await migrations.read_report(service, collection, migration_id)
    if format == "json":
        return Response(content)
    title = f"Migration {migration.id} of {collection}: {migration.state}"
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
    """An event `migration` with the whole migration at every change, until it is over.

    The stream also ends when the service stops: connect again.
    """
    await migrations.find(service, collection, migration_id)
    return ServerSentEvent(migrations.stream_events(service, collection, migration_id))


ROUTES = [
    start,
    plan,
    list_all,
    get_one,
    throttle,
    cut_over,
    roll_back,
    _command("pause", "Pause a migration until it is resumed"),
    _command("resume", "Resume a paused, failed or blocked migration"),
    _command("cancel", "Cancel a migration; the collection stays as it was"),
    _command("retire", "Drop the old index and end the retention period"),
    report,
    events,
]
