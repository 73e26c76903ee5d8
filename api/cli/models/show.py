"""`vecmark models list`, `show` and `link`; a model as its files describe it."""

import asyncio
from pathlib import Path
from typing import Any

import click
import msgspec

from api.cli import client, flags, output, tables
from api.schemas import models as model_schemas
from api.settings import Settings
from embedding import errors
from embedding.model_files import description
from embedding.registry import sources
from indexing import figures

COLUMNS = ("model", "dimensions", "tokens", "precision", "state", "collections", "space")
FINGERPRINT_LENGTH = 16


class _Items(msgspec.Struct, frozen=True):
    """The models of the answer, unread."""

    data: list[msgspec.Raw]


@click.command("list")
@flags.json_option
@flags.options(flags.CONNECTION)
def list_(as_json: bool, **connection: Any) -> None:
    """List available models and their collections."""
    settings = flags.load(connection)
    answer = asyncio.run(read_models(settings))
    models = answer.value
    if as_json:
        items = msgspec.json.decode(answer.content, type=_Items).data
        output.raw_json(*map(bytes, items), is_list=True)
        return
    rows = [_row(model) for model in models.data]
    tables.show(COLUMNS, rows + _unused_rows(settings, models))
    for model in models.data:
        for warning in model.warnings:
            output.line(f"Warning: {model.id}: {warning}", err=True)


@click.command()
@click.argument("name", required=False)
@flags.options(flags.MODELS)
def show(name: str | None, **flag_values: Any) -> None:
    """Show a model's space, limit and prompts.

    Reads the model's files, and says where each value comes from.
    """
    model = describe_model(flags.load(flag_values), name)
    limit = model.space.max_tokens
    rows = [
        ("model", model.name),
        ("directory", model.directory),
        ("disk", figures.format_bytes(_disk_bytes(model.directory))),
        ("revision", model.revision or "none"),
        ("space", model.space.fingerprint),
        ("precision", model.space.precision),
        *([("int8", model.int8.describe())] if model.int8 else []),
        ("dimensions", _dimensions(model)),
        ("matryoshka", "yes" if model.matryoshka else "the model doesn't say so"),
        ("limit", f"{limit} tokens" if limit else "none"),
        ("query prompt", f"{model.query_prompt.text!r} (from: {model.query_prompt.source})"),
        ("text prompt", f"{model.document_prompt.text!r} (from: {model.document_prompt.source})"),
        ("modules", ", ".join(module.kind for module in model.modules)),
    ]
    for line in tables.aligned(rows):
        output.line(line)
    for warning in model.warnings:
        output.line(f"Warning: {warning}", err=True)


@click.command()
@click.argument("name")
@click.argument("space")
@flags.options(flags.CONNECTION)
def link(name: str, space: str, **connection: Any) -> None:
    """Record that a model makes the vectors of a space.

    NAME is the model, SPACE the fingerprint (fp1:...). Nothing is embedded again. Refused unless
    the model's vectors of all test texts match those stored for the space.
    """
    result = asyncio.run(_link(flags.load(connection), name, space))
    output.line(f"{name} serves {result.space.id} (worst cosine {result.worst_cosine:.7f})")


def describe_model(settings: Settings, name: str | None) -> description.ModelDescription:
    """A model's description by its name; without a name, the default model's."""
    source = sources.resolve(
        name or settings.model, roots=settings.model_roots, models_dir=settings.models_dir
    )
    if name is not None and name != settings.model:
        return sources.descriptions.get(source)
    own = description.ModelOptions(
        max_tokens=settings.max_tokens,
        query_prompt=settings.query_prompt,
        document_prompt=settings.document_prompt,
    )
    return sources.descriptions.get(source, own.with_defaults(source.options))


async def read_models(settings: Settings) -> client.Answer[model_schemas.ModelList]:
    async with client.open_service(settings) as service:
        return await service.request("GET", "/v1/models", model_schemas.ModelList)


async def _link(settings: Settings, name: str, space: str) -> model_schemas.SpaceLink:
    body = {"model": name, "space": space}
    async with client.open_service(settings) as service:
        kind = model_schemas.SpaceLink
        return (await service.request("POST", "/v1/models/links", kind, json=body)).value


def _row(model: model_schemas.Model) -> tuple[object, ...]:
    return (
        ("* " if model.default else "  ") + model.id,
        model.dimensions,
        model.max_tokens or "no limit",
        model.precision,
        model.state,
        ", ".join(model.collections),
        model.space[:FINGERPRINT_LENGTH],
    )


def _dimensions(model: description.ModelDescription) -> str:
    dimensions, native = model.space.dimensions, model.native_dimensions
    return str(dimensions) if dimensions == native else f"{dimensions} of {native}"


def _disk_bytes(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def _unused_rows(settings: Settings, models: model_schemas.ModelList) -> list[tuple[object, ...]]:
    """Models that no stored space uses yet; for another machine, only their names."""
    listed = {name for model in models.data for name in (model.id, *model.aliases)}
    rows: dict[str, tuple[object, ...]] = {}
    for name in models.available:
        if name not in listed:
            rows[name] = ("  " + name, "", "", "", "added", "", "")
    if settings.url is None:
        rows |= _added_rows(settings, {model.space for model in models.data})
    return list(rows.values())


def _added_rows(settings: Settings, stored: set[str]) -> dict[str, tuple[object, ...]]:
    rows: dict[str, tuple[object, ...]] = {}
    for source in sources.all_added(settings.models_dir):
        name = "  " + source.name
        try:
            space = sources.descriptions.get(source).space
        except errors.EmbeddingError as error:
            rows[source.name] = (name, "", "", "", "unusable", "", "")
            output.line(f"Warning: {source.name}: {error}", err=True)
            continue
        if space.fingerprint not in stored:
            limit = space.max_tokens or "no limit"
            fingerprint = space.fingerprint[:FINGERPRINT_LENGTH]
            figures = (space.dimensions, limit, space.precision)
            rows[source.name] = (name, *figures, "added", "", fingerprint)
    return rows
