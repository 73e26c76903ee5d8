import asyncio
from typing import Any

import click

from api import settings
from api.cli import flags, output
from storage.names import DEFAULT_COLLECTION


@click.command()
@click.argument("words", nargs=-1, required=True)
@click.option(
    "-c", "--collection", default=DEFAULT_COLLECTION, show_default=True, help="Where to look."
)
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=10, show_default=True)
@click.option("--exact", is_flag=True, help="Compare with every vector, not by the HNSW index.")
@click.option("--json", "as_json", is_flag=True, help="The service's answer, unshortened.")
@flags.options(flags.CONNECTION)
def search(
    words: tuple[str, ...], collection: str, limit: int, exact: bool, as_json: bool, **given: Any
) -> None:
    """Find the documents nearest in meaning to WORDS."""
    body = {"q": " ".join(words), "limit": limit, "exact": exact}
    asyncio.run(_search(flags.load(given), collection, body, as_json=as_json))


async def _search(
    chosen: settings.Settings, collection: str, body: dict[str, Any], *, as_json: bool
) -> None:
    from api.cli import client, output

    async with client.open_service(chosen) as service:
        path = f"{client.collection_path(collection)}/search"
        found = await service.request("POST", path, json=body)
    if as_json:
        output.as_json(found)
        return
    show_hits(found)
    if not found.get("complete", True):
        output.line("The search stopped before all documents were looked at.", err=True)


TEXT_SHOWN = 300


def show_hits(found: dict[str, Any]) -> None:
    """The results of a search as a table, best first."""
    rows = [
        (f"{result['score']:.3f}", result["id"], _text(result["chunk"]["text"]))
        for result in found["results"]
    ]
    if not rows:
        output.line("Nothing found.")
        return
    output.table(("score", "id", "text"), rows, wide="text")


def _text(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= TEXT_SHOWN else flat[: TEXT_SHOWN - 1].rstrip() + "…"
