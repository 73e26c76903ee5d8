import asyncio
from typing import Any

import click

from api import settings
from api.cli import flags, output


@click.command()
@click.argument("name")
@click.argument("space")
@flags.options(flags.CONNECTION)
def link(name: str, space: str, **given: Any) -> None:
    """Record that the model NAME makes the vectors of SPACE (fp1:...): nothing is embedded again.

    Refused unless all test texts agree with those stored for the space.
    """
    found = asyncio.run(_link(flags.load(given), name, space))
    worst = found["worst_cosine"]
    output.line(f"{name} serves {found['space']['id']} (worst cosine {worst:.7f})")


async def _link(chosen: settings.Settings, name: str, space: str) -> dict[str, Any]:
    from api.cli import connection

    async with connection.open_service(chosen) as service:
        body = {"model": name, "space": space}
        found: dict[str, Any] = await service.request("POST", "/v1/models/links", json=body)
    return found
