"""Models that may have made a table's vectors: the claimed ones, or all that are available."""

import contextlib
import dataclasses
from collections.abc import Iterable, Sequence

from embedding.errors import EmbeddingError
from embedding.loading import ModelSettings
from embedding.model_files.description import ModelDescription
from embedding.registry import sources
from embedding.registry.sources import ModelSource


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A model to compare with.

    `also`: other names of the same space; `problem`: why the model can't be used.
    """

    name: str
    described: ModelDescription | None = None
    problem: str | None = None
    also: tuple[str, ...] = ()

    @property
    def dimensions(self) -> int | None:
        return None if self.described is None else self.described.space.dimensions


def claimed(settings: ModelSettings, names: Sequence[str]) -> list[Candidate]:
    """Models by the names that `vecmark models` takes. Raises ModelNotFound."""
    return _merge_spaces(_source(settings, name) for name in names)


def available(settings: ModelSettings) -> list[Candidate]:
    """The default first, then all models in the directories that are searched for models."""
    default = None
    with contextlib.suppress(EmbeddingError):  # it is missing; another one may match
        default = _source(settings, settings.default)
    return _merge_spaces(sources.candidates(settings.roots, settings.models_dir, default))


def _source(settings: ModelSettings, name: str) -> ModelSource:
    source = settings.source(name)
    if name != settings.default:
        return source
    # The default's own options belong to it, also when it is named.
    return dataclasses.replace(source, options=settings.options.with_defaults(source.options))


def _merge_spaces(models: Iterable[ModelSource]) -> list[Candidate]:
    """Each space once, under its first name."""
    by_space: dict[str, Candidate] = {}
    for source in models:
        name = source.name
        try:
            described = sources.descriptions.get(source)
        except EmbeddingError as error:
            by_space[name] = Candidate(name, problem=str(error))
            continue
        candidate = by_space.get(described.space.fingerprint)
        if candidate is None:
            by_space[described.space.fingerprint] = Candidate(name, described)
        elif name not in (candidate.name, *candidate.also):
            renamed = dataclasses.replace(candidate, also=(*candidate.also, name))
            by_space[described.space.fingerprint] = renamed
    return list(by_space.values())
