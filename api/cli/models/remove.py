"""`vecmark models remove`."""

import asyncio
from typing import Any

import click

from api.cli import errors as cli_errors
from api.cli import flags, output
from api.cli.models import show
from api.schemas import models as model_schemas
from api.settings import Settings
from embedding import errors
from embedding.conversion import cache
from embedding.model_files import description
from embedding.registry import added, sources


@click.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Remove it even if a collection needs it.")
@flags.options((*flags.CONNECTION, "model_roots"))
def remove(name: str, force: bool, **flag_values: Any) -> None:
    """Remove an added model and its files.

    Refused while a collection needs them.
    """
    settings = flags.load(flag_values)
    source = sources.resolve(name, roots=(), models_dir=settings.models_dir)
    if source.directory.parent != settings.models_dir:
        raise cli_errors.Failure(
            f"{name} was not added with `vecmark models add`: its files are not deleted"
        )
    try:
        model = sources.descriptions.get(source)
    except errors.EmbeddingError:
        model = None  # damaged: nothing can use it
    if not force:
        _require_unneeded(settings, source)
    added.remove(source)
    if model is not None and _find_other(settings, model.space.fingerprint, model.options) is None:
        cache.forget(model, cache_dir=settings.cache_dir)
    output.line(f"Removed {source.name}.")


def _require_unneeded(settings: Settings, source: sources.ModelSource) -> None:
    """Raises Failure naming the collections that could no longer be searched by text."""
    for model in asyncio.run(show.read_models(settings)).value.data:
        if not model.collections or not _makes_space(source, model):
            continue
        if _find_other(settings, model.space, _options(model), ignored=source) is None:
            names = ", ".join(model.collections)
            raise cli_errors.Failure(
                f"{source.name} has the only files for the space {model.space[:16]}... of {names};"
                " first delete these collections or migrate them to another model (--force removes"
                " it anyway: they can then no longer be searched by text)"
            )


def _makes_space(source: sources.ModelSource, model: model_schemas.Model) -> bool:
    """Whether the files of `source` make the vectors of a stored space."""
    if model.directory == str(source.directory):
        return True
    try:
        described = sources.descriptions.get(source, _options(model))
    except errors.EmbeddingError:
        return False
    return described.space.fingerprint in (model.space, *model.same_spaces)


def _find_other(
    settings: Settings,
    fingerprint: str,
    options: description.ModelOptions,
    *,
    ignored: sources.ModelSource | None = None,
) -> description.ModelDescription | None:
    """A model that makes the vectors of a space, other than `ignored`."""
    try:
        default = sources.resolve(
            settings.model, roots=settings.model_roots, models_dir=settings.models_dir
        )
    except errors.EmbeddingError:
        default = None
    try:
        return sources.find_space(
            fingerprint,
            options,
            roots=settings.model_roots,
            models_dir=settings.models_dir,
            default=default,
            exclude=None if ignored is None else ignored.directory,
        )
    except errors.ModelNotFound:
        return None


def _options(model: model_schemas.Model) -> description.ModelOptions:
    """The options with which the files of a stored space make that space again."""
    names = ("max_tokens", "query_prompt", "document_prompt", "dimensions", "precision")
    return description.ModelOptions(**{name: getattr(model, name) for name in names})
