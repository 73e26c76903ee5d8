"""A model as its files say, by the name that a person gives."""

from typing import TYPE_CHECKING

from api import settings

if TYPE_CHECKING:
    from embedding import description


def describe(chosen: settings.Settings, name: str | None) -> "description.ModelDescription":
    """A model's description by its name, the default one without a name."""
    from embedding import description, sources

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
