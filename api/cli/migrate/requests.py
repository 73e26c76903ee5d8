"""The requests of the `migrate` commands: migrations, commands to them, reports."""

from typing import Any
from urllib.parse import quote

import httpx

from api.cli import client, errors
from api.cli.migrate import outcome
from api.schemas.migrations import Migration

# A running service answers in milliseconds; one that hangs must not block a live view.
POLL_TIMEOUT = httpx.Timeout(10)
BLOCKED = "/problems/cutover-blocked"

MigrationAnswer = client.Answer[Migration]


class Blocked(errors.Failure):
    """The cutover was refused because of its gates, or because of failed texts."""

    exit_code = outcome.EXIT_CODES["blocked"]


def path(collection: str, *parts: str) -> str:
    quoted = (quote(part, safe="") for part in parts)
    return "/".join((f"{client.collection_path(collection)}/migrations", *quoted))


async def list_migrations(service: client.ServiceClient, collection: str) -> list[MigrationAnswer]:
    """A collection's migrations, newest first."""
    return await service.items(path(collection), Migration)


async def find_newest(
    service: client.ServiceClient, collection: str, migration_id: str | None = None
) -> MigrationAnswer | None:
    """The migration with that id, else the newest; None if there has been none."""
    if migration_id is not None:
        return await service.request("GET", path(collection, migration_id), Migration)
    return next(iter(await list_migrations(service, collection)), None)


async def find_open(
    service: client.ServiceClient, collection: str, migration_id: str | None = None
) -> MigrationAnswer | None:
    """The migration with that id, else the collection's migration that has not ended."""
    if migration_id is not None:
        return await find_newest(service, collection, migration_id)
    answers = await list_migrations(service, collection)
    return next((answer for answer in answers if outcome.is_open(answer.value)), None)


async def refresh(service: client.ServiceClient, migration: Migration) -> MigrationAnswer:
    """The migration as it is now. Raises Unavailable if asking again may help."""
    where = path(migration.collection, migration.id)
    return await service.request("GET", where, Migration, timeout=POLL_TIMEOUT)


async def send_command(
    service: client.ServiceClient,
    migration: Migration,
    command: str,
    body: dict[str, Any] | None = None,
) -> MigrationAnswer:
    """Tell the service what to do with a migration; the migration after that. Raises Blocked."""
    where = path(migration.collection, migration.id, command)
    try:
        return await service.request("POST", where, Migration, json=body)
    except errors.Failure as failure:
        if failure.problem_type.endswith(BLOCKED):
            raise Blocked(failure.message) from failure
        raise


async def report_text(service: client.ServiceClient, migration: Migration) -> str:
    """The verification report of a migration as a page of text."""
    where = path(migration.collection, migration.id, "report")
    return (await service.send("GET", where, params={"format": "text"})).decode()
