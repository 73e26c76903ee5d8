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
    text = None
    if request.text is not None:
        as_text = dataclasses.replace(options, role=request.input_type)
        text = await embeddings.embed_texts(loaded, [request.text], as_text, embeddings.text_field)
    texts = await embeddings.embed_texts(loaded, request.texts, options, embeddings.texts_field)
    return text, texts


async def compare(
    text: Embedded | None, texts: Embedded
) -> tuple[schemas.Scores | schemas.Matrix, Mapping[str, str]]:
    """The answer and its headers."""
    if text is None:
        rows = _clip(texts.vectors @ texts.vectors.T)
        matrix = await responses.encode_array((row.tolist() for row in rows), len(rows))
        return schemas.Matrix(space=texts.space, matrix=matrix), texts.headers
    scores = _clip(texts.vectors @ text.vectors[0]).tolist()
    tokens = sum(text.tokens) + sum(texts.tokens)
    cut = any(text.cut) or any(texts.cut)
    headers = embeddings.response_headers(texts.space, tokens, cut=cut)
    return schemas.Scores(space=texts.space, scores=scores), headers


def _clip(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rounding can take them beyond 1."""
    return np.clip(cosines, -1.0, 1.0)
