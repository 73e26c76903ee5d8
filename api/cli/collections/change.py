"""`vecmark collections create` and `delete`."""

import asyncio
from typing import Any

import click

from api.cli import client, flags, output
from api.schemas import collections as collection_schemas
from api.settings import Settings


@click.command()
@click.argument("name")
@click.option("--model", help="Embedding model.  [default: the service's]")
@flags.chunking_options
@flags.options(flags.CONNECTION)
def create(
    name: str,
    model: str | None,
    chunking: str | None,
    chunk_size: int | None,
    chunk_overlap: int | None,
    **connection: Any,
) -> None:
    """Create a collection.

    Creating it again with the same options is not an error.
    """
    split = flags.chunking_fields(chunking, chunk_size, chunk_overlap)
    body = {"name": name, "model": model, "chunking": split}
    body = {key: value for key, value in body.items() if value is not None}
    collection = asyncio.run(_create(flags.load(connection), body))
    output.line(f"The collection {collection.name} embeds with {collection.model}.")


@click.command()
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Don't ask for confirmation.")
@flags.options(flags.CONNECTION)
def delete(name: str, yes: bool, **connection: Any) -> None:
    """Delete a collection and its documents."""
    settings = flags.load(connection)
    if not yes:
        click.confirm(f"Delete the collection {name} and all its documents?", abort=True)
    asyncio.run(_delete(settings, name))
    output.line(f"Deleted the collection {name}.")


async def _create(settings: Settings, body: dict[str, Any]) -> collection_schemas.Collection:
    async with client.open_service(settings) as service:
        return await service.create_collection(body)


async def _delete(settings: Settings, name: str) -> None:
    async with client.open_service(settings) as service:
        await service.send("DELETE", client.collection_path(name))
