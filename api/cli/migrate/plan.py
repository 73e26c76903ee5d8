"""`vecmark migrate plan`: what a migration would take, as labels and values."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click

from api.cli import flags, output, tables
from api.cli.migrate import requests, sessions, text
from api.schemas import migrations as migration_schemas
from indexing import figures

Command = TypeVar("Command", bound=Callable[..., Any])

CHANGES = {
    "space": "the model: every text is embedded again",
    "chunking": "the chunking: every text is split and embedded again",
    "query-prompt": "only the query prompt: switched at once, nothing is embedded again",
    "none": "nothing",
}


def target_options(command: Command) -> Command:
    """Add the options that say what to move a collection to."""
    command = flags.chunking_options(command)
    about = "Model to move to."
    return click.option("--to", "model", required=True, metavar="MODEL", help=about)(command)


def target_fields(
    model: str, chunking: str | None, size: int | None, overlap: int | None
) -> dict[str, Any]:
    """The fields of a request that say what to move a collection to."""
    fields = flags.chunking_fields(chunking, size, overlap)
    return {"model": model} | ({"chunking": fields} if fields else {})


@click.command()
@target_options
@sessions.options()
def plan(
    *,
    model: str,
    chunking: str | None,
    chunk_size: int | None,
    chunk_overlap: int | None,
    collection: str | None,
    every: bool,
    as_json: bool,
    **connection: Any,
) -> None:
    """Measure what a migration would take.

    Shows time, disk, memory, and how much slower writes become. Takes some seconds and changes
    nothing.
    """
    body = target_fields(model, chunking, chunk_size, chunk_overlap)

    async def work(session: sessions.Session, name: str) -> sessions.Result:
        path = requests.path(name, "plan")
        answer = await session.service.request("POST", path, migration_schemas.Plan, json=body)
        if not as_json:
            show(name, answer.value)
        return sessions.Result(answer.content)

    sessions.run(connection, sessions.Scope(collection, every), work, as_json=as_json)


def show(name: str, plan: migration_schemas.Plan) -> None:
    for line in tables.aligned(rows(name, plan)):
        output.line(line)
    for warning in plan.warnings:
        output.line(f"Warning: {warning}", err=True)


def rows(name: str, plan: migration_schemas.Plan) -> list[tuple[str, object]]:
    """A plan's labels and values."""
    head: list[tuple[str, object]] = [
        ("collection", name),
        ("now", _side(plan.source)),
        ("then", _side(plan.target)),
        ("changes", CHANGES.get(plan.change, plan.change)),
    ]
    # If the migration is needed, its detail only sums up the rows below.
    costs = list(_costs(plan)) if plan.needed else [("needed", f"no: {plan.detail}")]
    return head + costs


def _side(side: migration_schemas.PlannedSide) -> str:
    limit = f"up to {side.max_tokens:,} tokens" if side.max_tokens else "no token limit"
    split = text.chunking(side.chunking)
    return f"{side.space.model}, {side.dimensions:,} dimensions, {limit}, {split}"


def _costs(plan: migration_schemas.Plan) -> Iterator[tuple[str, object]]:
    estimated = f", estimated from {plan.sampled:,}" if plan.sampled < plan.documents else ""
    yield "documents", f"{plan.documents:,}{estimated}"
    yield "chunks", f"{plan.chunks:,}"
    yield "tokens", f"{plan.tokens:,}"
    yield "cut", f"{output.count(plan.cut_without_chunking, 'text')} would be, without chunking"
    yield "time", output.span(plan.seconds.low, plan.seconds.likely, plan.seconds.high)
    if plan.rates:
        yield "speed", "; ".join(_rate(rate) for rate in plan.rates)
    yield "disk", _disk(plan.disk)
    yield "memory", _memory(plan.memory)
    cost = plan.write_cost
    yield (
        "writes",
        f"each document takes {cost.encode_ms_per_document:.1f} ms longer to encode and "
        f"{cost.insert_ms_per_document:.1f} ms longer to store until the old index is dropped",
    )


def _rate(rate: migration_schemas.PlannedRate) -> str:
    chunks = f"chunks up to {rate.up_to_tokens:,} tokens {output.rate(rate.chunks_per_s)}"
    return f"{chunks} ({rate.tokens_per_s:,.0f} tokens/s)"


def _disk(disk: migration_schemas.PlannedDisk) -> str:
    parts = (
        ("vectors", disk.table_bytes),
        ("HNSW", disk.hnsw_bytes),
        ("write-ahead log", disk.wal_bytes),
    )
    sizes = ", ".join(f"{name} {figures.format_bytes(count)}" for name, count in parts if count)
    free = "free space unknown"
    if disk.free_bytes is not None:
        free = f"{figures.format_bytes(disk.free_bytes)} free"
    suffix = ": NOT ENOUGH" if disk.fits is False else ""
    return f"{figures.format_bytes(disk.peak_bytes)} at the peak ({sizes}); {free}{suffix}"


def _memory(memory: migration_schemas.PlannedMemory) -> str:
    models = f"{figures.format_bytes(memory.models_bytes)} with the new model"
    target, limit = (
        figures.format_bytes(memory.target_bytes),
        figures.format_bytes(memory.limit_bytes),
    )
    suffix = "" if memory.fits else ": NOT ENOUGH"
    return f"{models} ({target}), of {limit} for models{suffix}"
