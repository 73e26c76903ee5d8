from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click

from api.cli import output
from api.cli.migrate import sessions, text

Command = TypeVar("Command", bound=Callable[..., Any])

CHANGES = {
    "space": "the model: every text is embedded again",
    "chunking": "the chunking: every text is split and embedded again",
    "query-prompt": "the query prompt alone: switched at once, nothing is embedded again",
    "none": "nothing",
}


def target_options(command: Command) -> Command:
    """The options that say where a collection is to go."""
    for option in (
        click.option("--chunk-overlap", type=click.IntRange(0), help="Tokens neighbours share."),
        click.option("--chunk-size", type=click.IntRange(1), help="Tokens of a chunk at most."),
        click.option(
            "--chunking", type=click.Choice(["sentence", "none"]), help="How texts are split."
        ),
        click.option("--to", "model", required=True, metavar="MODEL", help="The model to move to."),
    ):
        command = option(command)
    return command


def target_fields(
    model: str, chunking: str | None, size: int | None, overlap: int | None
) -> dict[str, Any]:
    """The fields of a request that say where a collection is to go."""
    parts = {"strategy": chunking, "size": size, "overlap": overlap}
    split = {key: value for key, value in parts.items() if value is not None}
    if split and chunking is None:
        split["strategy"] = "sentence"
    return {"model": model} | ({"chunking": split} if split else {})


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
    **given: Any,
) -> None:
    """Measure what a migration would take: time, disk, memory, and what writes cost meanwhile.

    Takes some seconds and changes nothing.
    """
    body = target_fields(model, chunking, chunk_size, chunk_overlap)

    async def work(session: sessions.Session, name: str) -> sessions.Done:
        from api.cli.migrate import sessions

        found = await session.service.request("POST", sessions.path(name, "plan"), json=body)
        if not as_json:
            show(name, found)
        return sessions.Done(found)

    sessions.run(given, sessions.Scope(collection, every), work, as_json=as_json)


def show(name: str, found: dict[str, Any]) -> None:
    for line in text.aligned(rows(name, found)):
        output.line(line)
    for warning in found["warnings"]:
        output.line(f"Warning: {warning}", err=True)


def rows(name: str, found: dict[str, Any]) -> list[tuple[str, object]]:
    """A plan's labels and values."""
    shown = [
        ("collection", name),
        ("now", _side(found["source"])),
        ("then", _side(found["target"])),
        ("changes", CHANGES.get(found["change"], found["change"])),
    ]
    # Of one that is needed the detail sums up what the rows below say.
    return shown + (
        list(_costs(found)) if found["needed"] else [("needed", f"no: {found['detail']}")]
    )


def _side(part: dict[str, Any]) -> str:
    limit = f"up to {part['max_tokens']:,} tokens" if part["max_tokens"] else "no limit of tokens"
    split = text.chunking(part["chunking"])
    return f"{part['space']['model']}, {part['dimensions']:,} dimensions, {limit}, {split}"


def _costs(found: dict[str, Any]) -> Iterator[tuple[str, object]]:
    sampled, seconds = found["sampled"], found["seconds"]
    estimated = f", estimated from {sampled:,}" if sampled < found["documents"] else ""
    yield "documents", f"{found['documents']:,}{estimated}"
    yield "chunks", f"{found['chunks']:,}"
    yield "tokens", f"{found['tokens']:,}"
    cut = output.count(found["cut_without_chunking"], "text")
    yield "cut", f"{cut} would be, with chunking off"
    yield "time", output.span(seconds["low"], seconds["likely"], seconds["high"])
    if found["rates"]:
        yield "speed", "; ".join(_rate(rate) for rate in found["rates"])
    yield "disk", _disk(found["disk"])
    yield "memory", _memory(found["memory"])
    cost = found["write_cost"]
    yield (
        "writes",
        f"{cost['encode_ms_per_document']:.1f} ms to encode and "
        f"{cost['insert_ms_per_document']:.1f} ms to store more for each document meanwhile",
    )


def _rate(rate: dict[str, Any]) -> str:
    texts = f"chunks up to {rate['up_to_tokens']:,} tokens {output.rate(rate['chunks_per_s'])}"
    return f"{texts} ({rate['tokens_per_s']:,.0f} tokens/s)"


def _disk(disk: dict[str, Any]) -> str:
    parts = ((key, disk[f"{key}_bytes"]) for key in ("table", "hnsw", "wal"))
    names = {"table": "vectors", "hnsw": "HNSW", "wal": "write-ahead log"}
    made_of = ", ".join(f"{names[key]} {output.size(count)}" for key, count in parts if count)
    free = disk["free_bytes"]
    room = "what is free isn't known" if free is None else f"{output.size(free)} free"
    if disk["fits"] is False:
        room += ": TOO LITTLE"
    return f"{output.size(disk['peak_bytes'])} at the peak ({made_of}); {room}"


def _memory(memory: dict[str, Any]) -> str:
    room = f"of {output.size(memory['limit_bytes'])} for models"
    fits = "" if memory["fits"] else ": TOO LITTLE"
    models, target = memory["models_bytes"], memory["target_bytes"]
    return f"{output.size(models)} with {output.size(target)} of the new one, {room}{fits}"
