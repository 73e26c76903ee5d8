import asyncio
from typing import Any

import click

from api import settings
from api.cli import errors, flags, output


@click.group(invoke_without_command=True)
@click.pass_context
def collections(context: click.Context) -> None:
    """Show, make and delete collections; alone, list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@collections.command("list")
@click.option("--json", "as_json", is_flag=True, help="The service's answer.")
@flags.options(flags.CONNECTION)
def list_(as_json: bool, **given: Any) -> None:
    """All collections with their sizes and models."""
    found = asyncio.run(_request(flags.load(given), "GET", None))
    if as_json:
        output.as_json(found)
        return
    if not found:
        output.line(f"No collection yet: `{output.command()} add FILE` makes one.", err=True)
        return
    rows = [
        (
            entry["name"],
            f"{entry['documents']:,}",
            f"{entry['chunks']:,}",
            f"{entry['pending']:,}",
            entry["model"],
            entry["search"]["path"],
        )
        for entry in found
    ]
    output.table(("collection", "documents", "chunks", "pending", "model", "search"), rows)


@collections.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="The service's answer.")
@flags.options(flags.CONNECTION)
def show(name: str, as_json: bool, **given: Any) -> None:
    """One collection: its model and space, and which path a search takes."""
    found = asyncio.run(_request(flags.load(given), "GET", name))
    if as_json:
        output.as_json(found)
        return
    for label, value in _described(found):
        output.line(f"{label + ':':<11} {value}")


@collections.command()
@click.argument("name")
@click.option("--model", help="Its model.  [default: the service's]")
@click.option("--chunking", type=click.Choice(["sentence", "none"]), help="How texts are split.")
@click.option("--chunk-size", type=click.IntRange(1), help="Tokens of a chunk at most.")
@click.option("--chunk-overlap", type=click.IntRange(0), help="Tokens that neighbours share.")
@flags.options(flags.CONNECTION)
def create(
    name: str,
    model: str | None,
    chunking: str | None,
    chunk_size: int | None,
    chunk_overlap: int | None,
    **given: Any,
) -> None:
    """Make a collection; the same again is no error."""
    parts = {"strategy": chunking, "size": chunk_size, "overlap": chunk_overlap}
    split = {key: value for key, value in parts.items() if value is not None}
    if split and chunking is None:
        split["strategy"] = "sentence"
    body = {"name": name, "model": model, "chunking": split or None}
    body = {key: value for key, value in body.items() if value is not None}
    made = asyncio.run(_request(flags.load(given), "POST", None, body))
    output.line(f"The collection {made['name']} embeds with {made['model']}.")


@collections.command()
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@flags.options(flags.CONNECTION)
def delete(name: str, yes: bool, **given: Any) -> None:
    """Delete a collection with all its documents and vectors."""
    chosen = flags.load(given)
    if not yes:
        click.confirm(f"Delete the collection {name} with all its documents?", abort=True)
    asyncio.run(_request(chosen, "DELETE", name))
    output.line(f"Deleted the collection {name}.")


async def _request(
    chosen: settings.Settings, method: str, name: str | None, body: dict[str, Any] | None = None
) -> Any:
    from api.cli import client

    async with client.open_service(chosen) as service:
        if name is None and method == "GET":
            return await service.collections()
        if method == "GET" and name is not None:
            found = await service.collection(name)
            if found is None:
                known = f"`{output.command()} collections list`"
                raise errors.Failure(f"no collection {name}; see {known}")
            return found
        path = "/v1/collections" if name is None else client.collection_path(name)
        return await service.request(method, path, json=body)


def _described(found: dict[str, Any]) -> list[tuple[str, object]]:
    search = found["search"]
    chunking = found["chunking"]
    split = ", ".join(f"{key} {value}" for key, value in chunking.items() if value is not None)
    path = f"{search['path']} ({search['reason']})" if search.get("reason") else search["path"]
    recall = search.get("recall")
    return [
        ("collection", found["name"]),
        ("documents", f"{found['documents']:,}"),
        ("chunks", f"{found['chunks']:,}"),
        ("pending", f"{found['pending']:,}"),
        ("model", found["model"]),
        ("space", found["space"]["id"]),
        ("index", found["index"]),
        ("chunking", split),
        ("search", path),
        *([("ef_search", search["ef_search"])] if search.get("ef_search") else []),
        *([("recall", f"{recall:.3f} against exact search")] if recall is not None else []),
        *([("evidence", _evidence(found["evidence"]))] if "evidence" in found else []),
        ("made", found["created_at"]),
    ]


def _evidence(found: dict[str, Any]) -> str:
    bound = found["stale_upper_bound_95"]
    others = f"of the others up to {bound:.1%} may have the vector of another text (95 %)"
    if not bound:
        others = "no vector was left out"
    return (
        f"adopted from {found['source']}: of {found['rows']:,} rows {found['sampled']:,} were"
        f" embedded again, {found['share']:.1%} at cosine {found['least_cosine']:g} or more"
        f" (median {found['median']:.6f}, worst {found['worst']:.6f}); {others}"
    )
