"""Turns the texts of one request into vectors of one space; errors name the text's field."""

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
from embedding import errors as embedding_errors
from embedding.encoders import encoder
from embedding.encoders.encoder import Encoded
from embedding.registry import sources
from indexing import errors as indexing_errors
from indexing.models.loaded import Loaded

Role = Literal["query", "document"]
# The field of the request that holds its text number `n`.
Field = Callable[[int], str]


@dataclass(frozen=True, kw_only=True)
class EmbedOptions:
    """How the texts of a request are embedded; `dimensions` None: as many as the model has."""

    role: Role = "document"
    truncate: bool = False
    dimensions: int | None = None
    expect_space: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedded:
    """Unit vectors, (texts, dimensions) float32, and how many tokens of each text were read."""

    space: SpaceName
    vectors: NDArray[np.float32]
    tokens: tuple[int, ...]
    cut: tuple[bool, ...]

    @property
    def headers(self) -> dict[str, str]:
        return response_headers(self.space, sum(self.tokens), cut=any(self.cut))


async def embed_texts(
    loaded: Loaded, texts: Sequence[str], options: EmbedOptions, field: Field
) -> Embedded:
    """Raises Invalid naming a text's field, OtherSpace, and what `encode_texts` raises."""
    space = _expected_space(loaded, options)
    with _naming_fields(field):
        encoded = await loaded.model.encode_texts(
            texts, role=options.role, truncate=options.truncate
        )
    return _embedded(space, encoded, options, field)


async def embed_ids(
    loaded: Loaded, rows: Sequence[Sequence[int]], options: EmbedOptions, field: Field
) -> Embedded:
    """The same for token ids of the model's own tokenizer."""
    space = _expected_space(loaded, options)
    with _naming_fields(field):
        encoded = await loaded.model.encode_ids(rows, truncate=options.truncate)
    return _embedded(space, encoded, options, field)


def text_field(_: int) -> str:
    """For the routes with `text`."""
    return "text"


def texts_field(no: int) -> str:
    """For the routes with `texts`."""
    return f"texts[{no}]"


def check_lengths(texts: Sequence[str], max_chars: int, field: Field) -> None:
    """Raises Invalid: even counting the tokens of a longer text would keep others waiting."""
    for no, text in enumerate(texts):
        if len(text) > max_chars:
            reason = f"has {len(text):,} characters; the limit is {max_chars:,}"
            raise problems.Invalid(field(no), reason, "too-large")


def response_headers(space: SpaceName, tokens: int, *, cut: bool) -> dict[str, str]:
    """What an answer says about its vectors; the model's name is percent-encoded if needed."""
    return {
        "X-Vecmark-Space": space.id,
        "X-Vecmark-Model": quote(space.model, safe="/:@ !#$&'()*+,;=?[]"),
        "X-Vecmark-Tokens": str(tokens),
        "X-Vecmark-Truncated": "true" if cut else "false",
    }


def space_name(loaded: Loaded, dimensions: int | None = None) -> SpaceName:
    """The space of vectors with `dimensions` numbers. Raises Invalid if the model has no such."""
    described = loaded.model.description
    own = described.space
    if dimensions is None or dimensions == own.dimensions:
        # As collections name it: the model's own space may only be linked to it.
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
    return SpaceName(id=own.truncated(dimensions).fingerprint, model=described.name)


def _expected_space(loaded: Loaded, options: EmbedOptions) -> SpaceName:
    space = space_name(loaded, options.dimensions)
    same = {space.id}
    if space.id == loaded.fingerprint:
        same.add(loaded.model.space.fingerprint)
    if options.expect_space is not None and options.expect_space not in same:
        raise problems.OtherSpace(options.expect_space, space.id, space.model)
    return space


def _embedded(space: SpaceName, encoded: Encoded, options: EmbedOptions, field: Field) -> Embedded:
    if encoded.failures:
        no, reason = min(encoded.failures.items())
        detail = f"the encoder has no vector for this text: {reason}"
        raise problems.Invalid(field(no), detail, "text-failed")
    vectors = encoded.vectors
    if options.dimensions is not None and options.dimensions < vectors.shape[1]:
        vectors = encoder.normalize(vectors[:, : options.dimensions])
    return Embedded(space=space, vectors=vectors, tokens=encoded.tokens, cut=encoded.cut)


@contextlib.contextmanager
def _naming_fields(field: Field) -> Iterator[None]:
    """Errors about the text number `n` become Invalid, which names its field."""
    try:
        yield
    except embedding_errors.TextTooLong as error:
        raise problems.Invalid(
            field(error.index),
            f"has {error.tokens:,} tokens with prompt and special tokens, and the model reads "
            f'{error.limit:,}; shorten it, or send "truncate": "end" to have its end cut off',
            "text-too-long",
        ) from error
    except embedding_errors.NoTokens as error:
        raise problems.Invalid(field(error.index or 0), str(error), "no-tokens") from error
    except embedding_errors.TokenIdsInvalid as error:
        raise problems.Invalid(field(error.index), error.reason, "token-ids-invalid") from error


_ROLES: tuple[Role, ...] = ("query", "document")


@dataclass(frozen=True)
class ModelName:
    """A model's name and the role that its suffix chooses, if it has one."""

    name: str
    role: Role | None


def parse_model_name(name: str) -> ModelName:
    """`name:query` and `name:document` choose a role."""
    for role in _ROLES:
        stem = name.removesuffix(f":{role}")
        if stem != name:
            return ModelName(stem, role)
    return ModelName(name, None)


@contextlib.asynccontextmanager
async def open_model(service: Service, name: str | None) -> AsyncIterator[Loaded]:
    """Like `Service.using`; for an unknown model Invalid lists the available ones."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            loaded = await stack.enter_async_context(service.using(name))
        except (indexing_errors.ModelUnknown, embedding_errors.ModelNotFound) as error:
            available = ", ".join(await available_models(service))
            reason = f"{error}. Available: {available}"
            raise problems.Invalid("model", reason, "unknown-model") from error
        yield loaded


async def available_models(service: Service) -> list[str]:
    """Names of the models that requests can use, loaded or not."""
    loaded = {model.name for model in service.models.loaded}
    return sorted(loaded | await asyncio.to_thread(_on_disk, service))


def _on_disk(service: Service) -> set[str]:
    settings = service.models.settings
    return {source.name for source in sources.candidates(settings.roots, settings.models_dir)}
