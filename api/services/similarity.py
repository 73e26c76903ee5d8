"""Cosine similarities of the texts of one request."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from api.http import problems, responses
from api.schemas import embeddings as schemas
from api.services import embeddings
from api.services.embeddings import Embedded, EmbedOptions
from indexing.models.loaded import Loaded


def check(request: schemas.SimilarityRequest, max_chars: int) -> None:
    """Raises Invalid."""
    if request.text is None:
        _check_matrix(request)
    embeddings.check_lengths([request.text or ""], max_chars, embeddings.text_field)
    embeddings.check_lengths(request.texts, max_chars, embeddings.texts_field)


def _check_matrix(request: schemas.SimilarityRequest) -> None:
    if request.input_type == "query":
        raise problems.Invalid("input_type", "applies to `text`, which is missing")
    if len(request.texts) > schemas.MAX_MATRIX:
        raise problems.Invalid(
            "texts",
            f"has {len(request.texts):,} texts; at most {schemas.MAX_MATRIX} can be compared with "
            "each other: send `text` to compare one with many",
        )


async def embed(
    loaded: Loaded, request: schemas.SimilarityRequest
) -> tuple[Embedded | None, Embedded]:
    """The vector of `text`, if there is one, and those of `texts`."""
    options = EmbedOptions(
        truncate=request.truncate == "end",
        dimensions=request.dimensions,
        expect_space=request.expect_space,
    )
    one = None
    if request.text is not None:
        as_text = dataclasses.replace(options, role=request.input_type)
        one = await embeddings.embed_texts(loaded, [request.text], as_text, embeddings.text_field)
    return one, await embeddings.embed_texts(loaded, request.texts, options, embeddings.texts_field)


async def compare(
    one: Embedded | None, many: Embedded
) -> tuple[schemas.Scores | schemas.Matrix, Mapping[str, str]]:
    """The answer and its headers."""
    if one is None:
        rows = _clip(many.vectors @ many.vectors.T)
        matrix = await responses.encode_array((row.tolist() for row in rows), len(rows))
        return schemas.Matrix(space=many.space, matrix=matrix), many.headers
    scores = _clip(many.vectors @ one.vectors[0]).tolist()
    tokens = sum(one.tokens) + sum(many.tokens)
    cut = any(one.cut) or any(many.cut)
    headers = embeddings.response_headers(many.space, tokens, cut=cut)
    return schemas.Scores(space=many.space, scores=scores), headers


def _clip(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rounding can take them beyond 1."""
    return np.clip(cosines, -1.0, 1.0)
