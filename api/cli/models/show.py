"""A model as its files say, by the name that a person gives."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from api import settings
from api.cli import flags, output

if TYPE_CHECKING:
    from embedding.model_files import description

COLUMNS = ("model", "dimensions", "tokens", "precision", "state", "collections", "space")


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="The service's answer.")
@flags.options(flags.CONNECTION)
def list_(as_json: bool, **given: Any) -> None:
    """The models at hand and the collections that use them."""
    chosen = flags.load(given)
    answer = asyncio.run(_models(chosen))
    found: list[dict[str, Any]] = answer["data"]
    if as_json:
        output.as_json(found)
        return
    rows: list[tuple[object, ...]] = [
        (
            ("* " if entry.get("default") else "  ") + entry["id"],
            entry["dimensions"],
            entry["max_tokens"] or "no limit",
            entry["precision"],
            entry["state"],
            ", ".join(entry["collections"]),
            entry["space"][:16],
        )
        for entry in found
    ]
    output.table(COLUMNS, rows + _not_loaded_yet(chosen, answer))
    for entry in found:
        for warning in entry.get("warnings") or ():
            output.line(f"Warning: {entry['id']}: {warning}", err=True)


@click.command()
@click.argument("name", required=False)
@flags.options(flags.MODELS)
def show(name: str | None, **given: Any) -> None:
    """What a model's files say: its space, limit, prompts and where each comes from."""
    found = describe(flags.load(given), name)
    limit = found.space.max_tokens
    shown = [
        ("model", found.name),
        ("directory", found.directory),
        ("disk", f"{_bytes(found.directory) / 1e6:,.1f} MB"),
        ("revision", found.revision or "none"),
        ("space", found.space.fingerprint),
        ("precision", found.space.precision),
        *([("int8", found.int8.describe())] if found.int8 else []),
        ("dimensions", _dimensions(found)),
        ("matryoshka", "yes" if found.matryoshka else "the model doesn't say so"),
        ("limit", f"{limit} tokens" if limit else "none"),
        ("query prompt", f"{found.query_prompt.text!r} (from: {found.query_prompt.source})"),
        ("text prompt", f"{found.document_prompt.text!r} (from: {found.document_prompt.source})"),
        ("modules", ", ".join(module.kind for module in found.modules)),
    ]
    for label, value in shown:
        output.line(f"{label + ':':<13} {value}")
    for warning in found.warnings:
        output.line(f"Warning: {warning}", err=True)


def _dimensions(found: "description.ModelDescription") -> str:
    kept = found.space.dimensions
    return str(kept) if kept == found.native_dimensions else f"{kept} of {found.native_dimensions}"


def _bytes(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def _not_loaded_yet(chosen: settings.Settings, answer: dict[str, Any]) -> list[tuple[object, ...]]:
    """What was added and no space is stored of: of another machine's only the names are known."""
    known = {name for entry in answer["data"] for name in (entry["id"], *entry["aliases"])}
    rows: dict[str, tuple[object, ...]] = {}
    for name in answer["available"]:
        if name not in known:
            rows[name] = ("  " + name, "", "", "", "added", "", "")
    if chosen.url is None:
        spaces = {entry["space"] for entry in answer["data"]}
        rows |= _added(chosen, spaces)
    return list(rows.values())


def _added(chosen: settings.Settings, stored: set[str]) -> dict[str, tuple[object, ...]]:
    from embedding import errors
    from embedding.registry import sources

    rows: dict[str, tuple[object, ...]] = {}
    for source in sources.known(chosen.models_dir):
        try:
            found = sources.descriptions.get(source)
        except errors.EmbeddingError as error:
            rows[source.name] = ("  " + source.name, "", "", "", "unusable", "", "")
            output.line(f"Warning: {source.name}: {error}", err=True)
            continue
        space = found.space
        if space.fingerprint not in stored:
            limit = space.max_tokens or "no limit"
            shown = ("  " + source.name, space.dimensions, limit, space.precision)
            rows[source.name] = (*shown, "added", "", space.fingerprint[:16])
    return rows


async def _models(chosen: settings.Settings) -> dict[str, Any]:
    from api.cli import client

    async with client.open_service(chosen) as service:
        answer: dict[str, Any] = await service.request("GET", "/v1/models")
    return answer


if TYPE_CHECKING:
    from embedding.model_files import description


def describe(chosen: settings.Settings, name: str | None) -> "description.ModelDescription":
    """A model's description by its name, the default one without a name."""
    from embedding.model_files import description
    from embedding.registry import sources

    source = sources.resolve(
        name or chosen.model, roots=chosen.model_roots, models_dir=chosen.models_dir
    )
    if name is not None and name != chosen.model:
        return sources.descriptions.get(source)
    own = description.ModelOptions(
        max_tokens=chosen.max_tokens,
        query_prompt=chosen.query_prompt,
        document_prompt=chosen.document_prompt,
    )
    return sources.descriptions.get(source, own.over(source.options))


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
    from api.cli import client

    async with client.open_service(chosen) as service:
        body = {"model": name, "space": space}
        found: dict[str, Any] = await service.request("POST", "/v1/models/links", json=body)
    return found
