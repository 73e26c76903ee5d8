"""`vecmark collections list` and `show`."""

import asyncio
from typing import Any

import click

from api.cli import client, errors, flags, output, tables
from api.schemas import collections as collection_schemas
from api.schemas import common as common_schemas
from api.settings import Settings

COLUMNS = ("collection", "documents", "chunks", "pending", "model", "search")
Collection = client.Answer[collection_schemas.Collection]


@click.command("list")
@flags.json_option
@flags.options(flags.CONNECTION)
def list_(as_json: bool, **connection: Any) -> None:
    """List collections with their sizes and models."""
    answers = asyncio.run(_read_all(flags.load(connection)))
    if as_json:
        output.raw_json(*(answer.content for answer in answers), is_list=True)
        return
    if not answers:
        output.line(f"No collections yet: `{output.command()} add FILE` creates one.", err=True)
        return
    tables.show(COLUMNS, [_row(answer.value) for answer in answers])


@click.command()
@click.argument("name")
@flags.json_option
@flags.options(flags.CONNECTION)
def show(name: str, as_json: bool, **connection: Any) -> None:
    """Show a collection and its search path.

    That is its model, its embedding space, and whether a search uses the HNSW index or compares
    with every vector.
    """
    answer = asyncio.run(_read(flags.load(connection), name))
    if as_json:
        output.raw_json(answer.content)
        return
    for line in tables.aligned(describe(answer.value)):
        output.line(line)


async def _read_all(settings: Settings) -> list[Collection]:
    async with client.open_service(settings) as service:
        return await service.collections()


async def _read(settings: Settings, name: str) -> Collection:
    async with client.open_service(settings) as service:
        answer = await service.collection(name)
    if answer is None:
        raise errors.Failure(f"no collection {name}; see `{output.command()} collections list`")
    return answer


def _row(collection: collection_schemas.Collection) -> tuple[object, ...]:
    return (
        collection.name,
        f"{collection.documents:,}",
        f"{collection.chunks:,}",
        f"{collection.pending:,}",
        collection.model,
        collection.search.path,
    )


def describe(collection: collection_schemas.Collection) -> list[tuple[str, object]]:
    """A collection's labels and values."""
    search, evidence = collection.search, collection.evidence
    rows: list[tuple[str, object]] = [
        ("collection", collection.name),
        ("documents", f"{collection.documents:,}"),
        ("chunks", f"{collection.chunks:,}"),
        ("pending", f"{collection.pending:,}"),
        ("model", collection.model),
        ("space", collection.space.id),
        ("index", collection.index),
        ("chunking", _chunking(collection.chunking)),
        ("search", f"{search.path} ({search.reason})" if search.reason else search.path),
    ]
    if search.ef_search:
        rows.append(("ef_search", search.ef_search))
    if search.recall is not None:
        rows.append(("recall", f"{search.recall:.3f} against exact search"))
    if isinstance(evidence, collection_schemas.Evidence):
        rows.append(("evidence", _evidence(evidence)))
    return [*rows, ("created", output.timestamp(collection.created_at))]


def _chunking(chunking: common_schemas.Chunking) -> str:
    parts = (
        ("strategy", chunking.strategy),
        ("size", chunking.size),
        ("overlap", chunking.overlap),
    )
    return ", ".join(f"{name} {value}" for name, value in parts if value is not None)


def _evidence(evidence: collection_schemas.Evidence) -> str:
    bound = evidence.stale_upper_bound_95
    others = (
        f"up to {output.percent(bound)} of the other rows may have the vector of another text"
        " (95 % confidence)"
        if bound
        else "every vector was compared"
    )
    return (
        f"adopted from {evidence.source}: {evidence.sampled:,} of {evidence.rows:,} rows were"
        f" embedded again, {output.percent(evidence.share)} of them at cosine"
        f" {evidence.least_cosine:g} or more (median {evidence.median:.6f},"
        f" worst {evidence.worst:.6f}); {others}"
    )
