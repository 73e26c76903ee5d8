"""Texts of one request to vectors of one space, each fault named by its field."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from api.http import problems
from api.schemas.common import SpaceName
from api.service import Service
from embedding import errors
from embedding import errors as embedding
from embedding.encoders import encoder
from embedding.encoders.encoder import Encoded
from embedding.registry import sources
from indexing import errors as indexing
from indexing.models.loaded import Loaded

Role = Literal["query", "document"]
# The field of the request that the text at a place stands in.
Field = Callable[[int], str]


@dataclass(frozen=True, kw_only=True)
class EmbedOptions:
    """How the texts of a request are to be embedded; `dimensions` None: as many as there are."""

    role: Role = "document"
    truncate: bool = False
    dimensions: int | None = None
    expect_space: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedded:
    """Unit vectors, (texts, dimensions) float32, with what was read of each text."""

    space: SpaceName
    vectors: NDArray[np.float32]
    tokens: tuple[int, ...]
    cut: tuple[bool, ...]

    @property
    def headers(self) -> dict[str, str]:
        return headers(self.space, sum(self.tokens), cut=any(self.cut))


async def of_texts(
    loaded: Loaded, texts: Sequence[str], wish: EmbedOptions, field: Field
) -> Embedded:
    """Raises Invalid naming a text's field, OtherSpace, and what `encode_texts` raises."""
    named = _expected_space(loaded, wish)
    with _naming(field):
        encoded = await loaded.model.encode_texts(texts, role=wish.role, truncate=wish.truncate)
    return _embedded(named, encoded, wish, field)


async def of_ids(
    loaded: Loaded, rows: Sequence[Sequence[int]], wish: EmbedOptions, field: Field
) -> Embedded:
    """The same of ids that the model's own tokenizer gave."""
    named = _expected_space(loaded, wish)
    with _naming(field):
        encoded = await loaded.model.encode_ids(rows, truncate=wish.truncate)
    return _embedded(named, encoded, wish, field)


def check_lengths(texts: Sequence[str], max_chars: int, field: Field) -> None:
    """Raises Invalid: even to count the tokens of a longer text would keep others waiting."""
    for place, text in enumerate(texts):
        if len(text) > max_chars:
            reason = f"has {len(text):,} characters; at most {max_chars:,} are taken"
            raise problems.Invalid(field(place), reason, "too-large")


def headers(space: SpaceName, tokens: int, *, cut: bool) -> dict[str, str]:
    """What an answer says of its vectors; the model's name percent-encoded where it must be."""
    return {
        "X-Vecmark-Space": space.id,
        "X-Vecmark-Model": quote(space.model, safe="/:@ !#$&'()*+,;=?[]"),
        "X-Vecmark-Tokens": str(tokens),
        "X-Vecmark-Truncated": "true" if cut else "false",
    }


def space(loaded: Loaded, dimensions: int | None = None) -> SpaceName:
    """The space of vectors of so many dimensions. Raises Invalid where the model has no such."""
    described = loaded.model.description
    own = described.space
    if dimensions is None or dimensions == own.dimensions:
        # As collections name it: the model's own may only be linked to it.
        return SpaceName(id=loaded.fingerprint, model=described.name)
    if dimensions > own.dimensions:
        reason = f"{described.name} has {own.dimensions}"
        raise problems.Invalid("dimensions", f"is {dimensions:,}, but {reason}")
    if not described.matryoshka:
        raise problems.Invalid(
            "dimensions",
            f"is {dimensions}, but {described.name} has {own.dimensions} and was not trained to be "
            f"cut to fewer; leave it out or send {own.dimensions}",
        )
    return SpaceName(id=own.shortened(dimensions).fingerprint, model=described.name)


def _expected_space(loaded: Loaded, wish: EmbedOptions) -> SpaceName:
    named = space(loaded, wish.dimensions)
    same = {named.id}
    if named.id == loaded.fingerprint:
        same.add(loaded.model.space.fingerprint)
    if wish.expect_space is not None and wish.expect_space not in same:
        raise problems.OtherSpace(wish.expect_space, named.id, named.model)
    return named


def _embedded(named: SpaceName, encoded: Encoded, wish: EmbedOptions, field: Field) -> Embedded:
    if encoded.failures:
        place, reason = min(encoded.failures.items())
        detail = f"the encoder gives no vector for this text: {reason}"
        raise problems.Invalid(field(place), detail, "text-failed")
    vectors = encoded.vectors
    if wish.dimensions is not None and wish.dimensions < vectors.shape[1]:
        vectors = encoder.normalize(vectors[:, : wish.dimensions])
    return Embedded(space=named, vectors=vectors, tokens=encoded.tokens, cut=encoded.cut)


@contextlib.contextmanager
def _naming(field: Field) -> Iterator[None]:
    try:
        yield
    except errors.TextTooLong as error:
        raise problems.Invalid(
            field(error.index),
            f"has {error.tokens:,} tokens with prompt and special tokens, and the model reads "
            f'{error.limit:,}; shorten it, or send "truncate": "end" to have its end cut off',
            "text-too-long",
        ) from error
    except errors.NoTokens as error:
        raise problems.Invalid(field(error.index or 0), str(error), "no-tokens") from error
    except errors.TokenIdsInvalid as error:
        raise problems.Invalid(field(error.index), error.reason, "token-ids-invalid") from error


_ROLES: tuple[Role, ...] = ("query", "document")


@dataclass(frozen=True)
class ModelName:
    """A model's name and the role that its suffix chooses, if it has one."""

    name: str
    role: Role | None


def parse_model_name(given: str) -> ModelName:
    for role in _ROLES:
        name = given.removesuffix(f":{role}")
        if name != given:
            return ModelName(name, role)
    return ModelName(given, None)


@contextlib.asynccontextmanager
async def open_model(service: Service, name: str | None) -> AsyncIterator[Loaded]:
    """As `Service.using`; Invalid names the models that there are where this one is unknown."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            loaded = await stack.enter_async_context(service.using(name))
        except (indexing.ModelUnknown, embedding.ModelNotFound) as error:
            there = ", ".join(await available_models(service))
            reason = f"{error}. There are: {there}"
            raise problems.Invalid("model", reason, "unknown-model") from error
        yield loaded


async def available_models(service: Service) -> list[str]:
    """Names of the models that requests can use, loaded or not."""
    loaded = {one.name for one in service.models.loaded}
    return sorted(loaded | await asyncio.to_thread(_at_hand, service))


def _at_hand(service: Service) -> set[str]:
    places = service.models.settings
    return {source.name for source in sources.candidates(places.roots, places.models_dir)}
