"""POST /embed, /tokenize and /similarity: the model without documents."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from litestar import Response, post
from litestar.di import NamedDependency
from numpy.typing import NDArray

from api.http import bodies, openapi, problems, responses
from api.routes.documents import AnyRequest
from api.schemas import embeddings as schemas
from api.service import Service
from api.services import embeddings
from api.services.embeddings import Embedded, EmbedOptions
from embedding.text.reader import Tokenized
from indexing.models.loaded import Loaded

_TEXTS = ["A newt is a small salamander.", "A boat lies in the harbour."]
_EMBED = {"text": {"text": _TEXTS[0]}, "texts": {"texts": _TEXTS, "truncate": "end"}}
_TOKENIZE = {"text": {"text": _TEXTS[0]}, "query": {"text": "a newt", "input_type": "query"}}
_SIMILARITY = {
    "one against many": {"text": "animal in a pond", "texts": _TEXTS, "input_type": "query"},
    "each against each": {"texts": _TEXTS},
}


@post(
    "/embed",
    operation_id="embed",
    operation_class=openapi.body(schemas.EmbedRequest, _EMBED),
    summary="Embed a text or texts",
    status_code=200,
    response_headers=openapi.EMBEDDING_HEADERS,
    responses=problems.documented(409, 413, 415, 422, 429, 503),
)
async def embed(
    request: AnyRequest, service: NamedDependency[Service]
) -> Response[list[float] | schemas.EmbeddedTexts]:
    """`text` is answered by the bare list of its numbers, `texts` by an object.

    A text over the model's limit is an error unless `truncate` is `end`.
    """
    sent = await bodies.read(request, schemas.EmbedRequest, service.settings.max_body_bytes)
    texts, field = _texts(service, sent.text, sent.texts)
    wish = EmbedOptions(
        role=sent.input_type,
        truncate=sent.truncate == "end",
        dimensions=sent.dimensions,
        expect_space=sent.expect_space,
    )
    async with embeddings.open_model(service, sent.model) as loaded:
        encoding = embeddings.of_texts(loaded, texts, wish, field)
        found = await responses.cancel_on_disconnect(request.receive, encoding)
    return responses.json_response(await _embedded(sent, found), found.headers)


async def _embedded(
    sent: schemas.EmbedRequest, found: Embedded
) -> list[float] | schemas.EmbeddedTexts:
    if sent.text is not None:
        numbers: list[float] = found.vectors[0].tolist()
        return numbers
    dimensions = found.vectors.shape[1]
    items = (
        schemas.EmbeddedText(embedding=row.tolist(), tokens=tokens, truncated=cut)
        for row, tokens, cut in zip(found.vectors, found.tokens, found.cut, strict=True)
    )
    return schemas.EmbeddedTexts(
        space=found.space,
        dimensions=dimensions,
        embeddings=await responses.encode_array(items, dimensions),
    )


@post(
    "/tokenize",
    operation_id="tokenize",
    operation_class=openapi.body(schemas.TokenizeRequest, _TOKENIZE),
    summary="Show a text as the model reads it",
    status_code=200,
    response_headers=openapi.EMBEDDING_HEADERS,
    responses=problems.documented(413, 415, 422, 429, 503),
)
async def tokenize(
    request: AnyRequest, service: NamedDependency[Service]
) -> Response[schemas.TokenizedTexts]:
    """The same token ids that embedding sees, of whole texts, never cut."""
    sent = await bodies.read(request, schemas.TokenizeRequest, service.settings.max_body_bytes)
    texts, _ = _texts(service, sent.text, sent.texts)
    async with embeddings.open_model(service, sent.model) as loaded:
        reading = loaded.model.tokenize(texts, role=sent.input_type)
        found = await responses.cancel_on_disconnect(request.receive, reading)
    answer = await _tokenized(loaded, sent, found)
    tokens = sum(len(one.ids) for one in found)
    return responses.json_response(answer, embeddings.headers(answer.space, tokens, cut=False))


async def _tokenized(
    loaded: Loaded, sent: schemas.TokenizeRequest, found: Sequence[Tokenized]
) -> schemas.TokenizedTexts:
    model = loaded.model.description
    limit = model.space.max_tokens
    prompt = model.query_prompt if sent.input_type == "query" else model.document_prompt
    items = (
        schemas.TokenizedText(
            ids=one.ids,
            tokens=one.tokens,
            offsets=one.offsets,
            count=len(one.ids),
            fits=limit is None or len(one.ids) <= limit,
        )
        for one in found
    )
    return schemas.TokenizedTexts(
        space=embeddings.space(loaded),
        limit=limit,
        prompt=prompt.text,
        items=await responses.encode_array(items, 4 * max(len(one.ids) for one in found)),
    )


@post(
    "/similarity",
    operation_id="similarity",
    operation_class=openapi.body(schemas.SimilarityRequest, _SIMILARITY),
    summary="Compare texts by their cosine similarity",
    status_code=200,
    response_headers=openapi.EMBEDDING_HEADERS,
    responses=problems.documented(409, 413, 415, 422, 429, 503),
)
async def similarity(
    request: AnyRequest, service: NamedDependency[Service]
) -> Response[schemas.Scores | schemas.Matrix]:
    """`text` against each of `texts`, or without `text` each of them against each.

    All are embedded as documents, unless `input_type` makes `text` a query to the others.
    """
    sent = await bodies.read(request, schemas.SimilarityRequest, service.settings.max_body_bytes)
    _check(sent)
    max_chars = service.settings.max_text_chars
    embeddings.check_lengths([sent.text or ""], max_chars, _text)
    embeddings.check_lengths(sent.texts, max_chars, _texts_at)
    async with embeddings.open_model(service, sent.model) as loaded:
        comparing = _compared(loaded, sent)
        one, many = await responses.cancel_on_disconnect(request.receive, comparing)
    if one is None:
        return responses.json_response(await _matrix(many), many.headers)
    scores = _bounded(many.vectors @ one.vectors[0]).tolist()
    answer = schemas.Scores(space=many.space, scores=scores)
    tokens = sum(one.tokens) + sum(many.tokens)
    cut = any(one.cut) or any(many.cut)
    return responses.json_response(answer, embeddings.headers(many.space, tokens, cut=cut))


def _check(sent: schemas.SimilarityRequest) -> None:
    if sent.text is not None:
        return
    if sent.input_type == "query":
        raise problems.Invalid("input_type", "is that of `text`, which is not given")
    if len(sent.texts) > schemas.MAX_MATRIX:
        raise problems.Invalid(
            "texts",
            f"has {len(sent.texts):,} texts; at most {schemas.MAX_MATRIX} are compared each with "
            "each: send `text` to compare one with many",
        )


async def _compared(
    loaded: Loaded, sent: schemas.SimilarityRequest
) -> tuple[Embedded | None, Embedded]:
    wish = EmbedOptions(
        truncate=sent.truncate == "end",
        dimensions=sent.dimensions,
        expect_space=sent.expect_space,
    )
    one = None
    if sent.text is not None:
        asked = dataclasses.replace(wish, role=sent.input_type)
        one = await embeddings.of_texts(loaded, [sent.text], asked, _text)
    return one, await embeddings.of_texts(loaded, sent.texts, wish, _texts_at)


async def _matrix(many: Embedded) -> schemas.Matrix:
    rows = _bounded(many.vectors @ many.vectors.T)
    listed = (row.tolist() for row in rows)
    return schemas.Matrix(space=many.space, matrix=await responses.encode_array(listed, len(rows)))


def _bounded(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rounding can take them beyond 1."""
    return np.clip(cosines, -1.0, 1.0)


def _texts(
    service: Service, text: str | None, texts: list[str] | None
) -> tuple[list[str], embeddings.Field]:
    """The texts of a request, and the fields that they stand in. Raises Invalid."""
    if text is not None and texts is not None:
        raise problems.Invalid("texts", "stands beside `text`; send one of them")
    if text is None and texts is None:
        raise problems.Invalid("text", "is needed, or `texts` for several")
    found, field = ([text], _text) if text is not None else (texts or [], _texts_at)
    embeddings.check_lengths(found, service.settings.max_text_chars, field)
    return found, field


def _text(_: int) -> str:
    return "text"


def _texts_at(place: int) -> str:
    return f"texts[{place}]"


ROUTES = [embed, tokenize, similarity]
