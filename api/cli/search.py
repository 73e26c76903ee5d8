"""`vecmark search`."""

import asyncio
from typing import Any

import click

from api.cli import client, flags, output, tables
from api.schemas import search as search_schemas
from api.settings import Settings

TEXT_LENGTH = 300


@click.command()
@click.argument("words", nargs=-1, required=True)
@flags.collection_option("Collection to search.")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    help="Maximum number of results.",
)
@click.option("--exact", is_flag=True, help="Compare with every vector instead of using HNSW.")
@click.option("--json", "as_json", is_flag=True, help="Print the service's answer as JSON.")
@flags.options(flags.CONNECTION)
def search(
    *,
    words: tuple[str, ...],
    collection: str,
    limit: int,
    exact: bool,
    as_json: bool,
    **connection: Any,
) -> None:
    """Find the documents closest in meaning to WORDS."""
    body = {"q": " ".join(words), "limit": limit, "exact": exact}
    asyncio.run(_search(flags.load(connection), collection, body, as_json=as_json))


async def _search(
    settings: Settings, collection: str, body: dict[str, Any], *, as_json: bool
) -> None:
    path = f"{client.collection_path(collection)}/search"
    async with client.open_service(settings) as service:
        answer = await service.request("POST", path, search_schemas.SearchResponse, json=body)
    if as_json:
        output.raw_json(answer.content)
        return
    show_results(answer.value)
    if not answer.value.complete:
        output.line("The search stopped before it had checked all documents.", err=True)


def show_results(response: search_schemas.SearchResponse) -> None:
    """The results of a search as a table, best first."""
    rows = [
        (f"{result.score:.3f}", result.id, _shorten(result.chunk.text))
        for result in response.results
    ]
    if not rows:
        output.line("Nothing found.")
        return
    tables.show(("score", "id", "text"), rows, wide="text")


def _shorten(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= TEXT_LENGTH else flat[: TEXT_LENGTH - 1].rstrip() + "…"
