import asyncio
from typing import Any

import click

from api import settings
from api.cli import flags, output
from api.cli.migrate import described, scope

COLUMNS = ("migration", "collection", "state", "from", "to", "documents", "failed", "started")


@click.command("list")
@scope.options()
def list_(collection: str | None, every: bool, as_json: bool, **given: Any) -> None:
    """All migrations of a collection, newest first."""
    meant = scope.Scope(collection, every)
    found = asyncio.run(_all(flags.load(given), meant))
    if as_json:
        output.as_json(found)
        return
    if not found:
        of = "" if every else f" of {collection or scope.DEFAULT}"
        plan = f"`{output.command()} migrate plan --to MODEL`"
        output.line(f"No migration{of} yet: {plan} says what one would take.", err=True)
        return
    output.table(COLUMNS, [row(one) for one in found])


def row(found: dict[str, Any]) -> tuple[str, ...]:
    progress = found["progress"]
    return (
        found["id"],
        found["collection"],
        found["state"],
        *described.ends(found),
        f"{progress['documents_done']:,} of {progress['documents']:,}",
        f"{progress['failed']:,}",
        described.moment(found["created_at"]),
    )


async def _all(chosen: settings.Settings, meant: scope.Scope) -> list[dict[str, Any]]:
    from api.cli import connection
    from api.cli.migrate import remote

    async with connection.open_service(chosen) as service:
        names = await scope.names(service, meant)
        return [one for name in names for one in await remote.all_(service, name)]
