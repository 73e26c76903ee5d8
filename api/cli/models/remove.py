import asyncio
from typing import TYPE_CHECKING, Any

import click

from api import settings
from api.cli import errors as cli_errors
from api.cli import flags, output

if TYPE_CHECKING:
    from embedding.model_files import description
    from embedding.registry import sources


@click.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Even where a collection needs it.")
@flags.options((*flags.CONNECTION, "model_roots"))
def remove(name: str, force: bool, **given: Any) -> None:
    """Delete a model that was added; refused while a collection needs its files."""
    chosen = flags.load(given)
    from embedding import errors
    from embedding.conversion import cache
    from embedding.registry import added, sources

    source = sources.resolve(name, roots=(), models_dir=chosen.models_dir)
    if source.directory.parent != chosen.models_dir:
        raise cli_errors.Failure(f"{name} was not added by `vecmark models add`: its files stay")
    try:
        found = sources.descriptions.get(source)
    except errors.EmbeddingError:
        found = None  # damaged: it serves nobody
    if not force:
        _refuse_needed(chosen, source)
    added.remove(source)
    if found is not None and _elsewhere(chosen, found.space.fingerprint, found.options) is None:
        cache.forget(found, cache_dir=chosen.cache_dir)
    output.line(f"Removed {source.name}.")


def _refuse_needed(chosen: settings.Settings, source: "sources.ModelSource") -> None:
    """Failure naming the collections that could no longer be searched by text."""
    for entry in asyncio.run(_models(chosen)):
        if not entry["collections"] or not _gives(source, entry):
            continue
        if _elsewhere(chosen, entry["space"], _options(entry), but=source) is None:
            names = ", ".join(entry["collections"])
            raise cli_errors.Failure(
                f"{source.name} is the only place with the files of {entry['space'][:16]}..., which"
                f" is the space of {names}; delete these collections or give them another model"
                " first (--force removes it all the same: they can no longer be searched by text)"
            )


def _gives(source: "sources.ModelSource", entry: dict[str, Any]) -> bool:
    from embedding import errors
    from embedding.registry import sources

    if entry["directory"] == str(source.directory):
        return True
    try:
        found = sources.descriptions.get(source, _options(entry))
    except errors.EmbeddingError:
        return False
    return found.space.fingerprint in (entry["space"], *entry["same_spaces"])


def _elsewhere(
    chosen: settings.Settings,
    fingerprint: str,
    options: "description.ModelOptions",
    *,
    but: "sources.ModelSource | None" = None,
) -> "description.ModelDescription | None":
    from embedding import errors
    from embedding.registry import sources

    try:
        default = sources.resolve(
            chosen.model, roots=chosen.model_roots, models_dir=chosen.models_dir
        )
    except errors.EmbeddingError:
        default = None
    try:
        return sources.find(
            fingerprint,
            options,
            roots=chosen.model_roots,
            models_dir=chosen.models_dir,
            default=default,
            but=None if but is None else but.directory,
        )
    except errors.ModelNotFound:
        return None


def _options(entry: dict[str, Any]) -> "description.ModelOptions":
    """Under which the files of a stored space give that space again."""
    from embedding.model_files import description

    names = ("max_tokens", "query_prompt", "document_prompt", "dimensions", "precision")
    return description.ModelOptions(**{name: entry[name] for name in names})


async def _models(chosen: settings.Settings) -> list[dict[str, Any]]:
    from api.cli import client

    async with client.open_service(chosen) as service:
        answer: dict[str, Any] = await service.request("GET", "/v1/models")
    found: list[dict[str, Any]] = answer["data"]
    return found
