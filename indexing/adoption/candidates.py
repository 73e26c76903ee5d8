"""Models that may have made a table's vectors: those that a person claims, or all at hand."""

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
    """A model to compare with; `also` are other names of the same space, `problem` of one that
    can't be used."""

    name: str
    described: ModelDescription | None = None
    problem: str | None = None
    also: tuple[str, ...] = ()

    @property
    def dimensions(self) -> int | None:
        return None if self.described is None else self.described.space.dimensions


def claimed(places: ModelSettings, names: Sequence[str]) -> list[Candidate]:
    """By name, as `vecmark models` takes them. Raises ModelNotFound."""
    return _merged(_source(places, name) for name in names)


def at_hand(places: ModelSettings) -> list[Candidate]:
    """The default first, then all that lie where models are looked for."""
    default = None
    with contextlib.suppress(EmbeddingError):  # it is missing; the others may do
        default = _source(places, places.default)
    return _merged(sources.candidates(places.roots, places.models_dir, default))


def _source(places: ModelSettings, name: str) -> ModelSource:
    source = places.source(name)
    if name != places.default:
        return source
    # The default's own settings belong to it, whoever names it.
    return dataclasses.replace(source, options=places.options.over(source.options))


def _merged(found: Iterable[ModelSource]) -> list[Candidate]:
    """Each space once, under the first name that it has."""
    by_space: dict[str, Candidate] = {}
    for source in found:
        name = source.name
        try:
            described = sources.descriptions.get(source)
        except EmbeddingError as error:
            by_space[name] = Candidate(name, problem=str(error))
            continue
        known = by_space.get(described.space.fingerprint)
        if known is None:
            by_space[described.space.fingerprint] = Candidate(name, described)
        elif name not in (known.name, *known.also):
            also = dataclasses.replace(known, also=(*known.also, name))
            by_space[described.space.fingerprint] = also
    return list(by_space.values())
