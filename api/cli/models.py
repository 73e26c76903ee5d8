import asyncio
from collections.abc import Mapping
from typing import Any

import click

from api import settings
from api.cli import failure, flags, output


@click.group(invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """Show, download and check embedding models; alone, list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="The service's answer.")
@flags.options(flags.CONNECTION)
def list_(as_json: bool, **given: Any) -> None:
    """The models at hand and the collections that use them."""
    found = asyncio.run(_models(flags.load(given)))
    if as_json:
        output.as_json(found)
        return
    rows = [
        (
            ("* " if entry.get("default") else "  ") + entry["id"],
            entry["dimensions"],
            entry["max_tokens"] or "no limit",
            entry["state"],
            ", ".join(entry["collections"]),
            entry["space"][:16],
        )
        for entry in found
    ]
    output.table(("model", "dimensions", "tokens", "state", "collections", "space"), rows)
    for entry in found:
        for warning in entry.get("warnings") or ():
            output.line(f"Warning: {entry['id']}: {warning}", err=True)


@models.command()
@click.argument("name", required=False)
@flags.options(flags.MODELS)
def show(name: str | None, **given: Any) -> None:
    """What a model's files say: its space, limit, prompts and where each comes from."""
    chosen = flags.load(given)
    found = describe(chosen, name)
    limit = found.space.max_tokens
    described = [
        ("model", found.name),
        ("directory", found.directory),
        ("revision", found.revision or "none"),
        ("space", found.space.fingerprint),
        ("dimensions", found.space.dimensions),
        ("limit", f"{limit} tokens" if limit else "none"),
        ("query prompt", f"{found.query_prompt.text!r} (from: {found.query_prompt.source})"),
        ("text prompt", f"{found.document_prompt.text!r} (from: {found.document_prompt.source})"),
        ("modules", ", ".join(module.kind for module in found.modules)),
    ]
    for label, value in described:
        output.line(f"{label + ':':<13} {value}")
    for warning in found.warnings:
        output.line(f"Warning: {warning}", err=True)


@models.command()
@click.argument("name")
@flags.options(("data_dir",))
def add(name: str, **given: Any) -> None:
    """Download a model from the hub: ORG/NAME or ORG/NAME@REVISION."""
    chosen = flags.load(given)
    from embedding import hub

    model_id, _, revision = name.partition("@")
    output.line(f"Downloading {name} ...", err=True)
    found = hub.download(model_id, revision or None, chosen.models_dir)
    output.line(f"{name} is in {found.directory}")
    output.line(f"Use it: vecmark collections create NAME --model {model_id}@{found.revision}")


@models.command()
@click.argument("name", required=False)
@flags.options((*flags.MODELS, "device"))
def check(name: str | None, **given: Any) -> None:
    """Load a model and compare its vectors with those that torch made at its conversion."""
    chosen = flags.load(given)
    from embedding import model

    found = describe(chosen, name)
    output.line(f"Loading {found.name} ...", err=True)
    loaded = model.load(found, cache_dir=chosen.cache_dir, device=chosen.device)
    try:
        report = asyncio.run(loaded.check_canaries())
    finally:
        loaded.close()
    output.line(f"{found.name} makes vectors of {loaded.space.dimensions} dimensions.")
    output.line(f"space: {loaded.space.fingerprint}")
    output.line(f"compared with torch: {report.describe()}")
    _show_build(loaded.build)
    if report.level == "refuse":
        raise failure.Failure(f"{found.name} makes other vectors here than with torch")
    if report.level == "warn":
        output.line("Warning: the vectors differ slightly from torch's", err=True)


def _show_build(build: Mapping[str, Any]) -> None:
    for key, value in build.items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        for name_of_part, part in parts:
            if part not in (None, ""):
                output.line(f"{key} {name_of_part}".rstrip() + f": {part}")


@models.command()
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


def describe(chosen: settings.Settings, name: str | None) -> Any:
    """A model's description by its name, the default one without a name."""
    from embedding import description, sources

    source = sources.resolve(
        name or chosen.model, roots=chosen.model_roots, models_dir=chosen.models_dir
    )
    own = name is None or name == chosen.model
    options = description.ModelOptions(
        max_tokens=chosen.max_tokens,
        query_prompt=chosen.query_prompt,
        document_prompt=chosen.document_prompt,
    )
    return sources.descriptions.get(source, options if own else description.ModelOptions())


async def _models(chosen: settings.Settings) -> list[dict[str, Any]]:
    from api.cli import connection

    async with connection.open_service(chosen) as service:
        answer = await service.request("GET", "/v1/models")
    found: list[dict[str, Any]] = answer["data"]
    return found
