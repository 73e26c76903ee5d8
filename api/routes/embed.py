"""POST /embed, /tokenize and /similarity: models without documents."""

from collections.abc import Sequence

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from api.http import openapi, problems, responses
from api.http.json_body import BoundedRequest
from api.schemas import embeddings as schemas
from api.service import Service
from api.services import embeddings
from api.services import similarity as similarity_services
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
    operation_class=openapi.examples(_EMBED),
    summary="Embed one or more texts",
    status_code=200,
    response_headers=openapi.EMBEDDING_HEADERS,
    responses=problems.documented(409, 413, 415, 422, 429, 503),
)
async def embed(
    request: BoundedRequest, service: NamedDependency[Service], data: JSONBody[schemas.EmbedRequest]
) -> Response[list[float] | schemas.EmbeddedTexts]:
    """For `text` the answer is the bare list of its numbers, for `texts` an object.

    A text over the model's limit is an error unless `truncate` is `end`.
    """
    texts, field = _texts(service, data.text, data.texts)
    options = EmbedOptions(
        role=data.input_type,
        truncate=data.truncate == "end",
        dimensions=data.dimensions,
        expect_space=data.expect_space,
    )
    async with embeddings.open_model(service, data.model) as loaded:
        encoding = embeddings.embed_texts(loaded, texts, options, field)
        embedded = await responses.cancel_on_disconnect(request.receive, encoding)
    return responses.json_response(await _embed_answer(data, embedded), embedded.headers)


async def _embed_answer(
    request: schemas.EmbedRequest, embedded: Embedded
) -> list[float] | schemas.EmbeddedTexts:
    if request.text is not None:
        numbers: list[float] = embedded.vectors[0].tolist()
        return numbers
    dimensions = embedded.vectors.shape[1]
    items = (
        schemas.EmbeddedText(embedding=row.tolist(), tokens=tokens, truncated=cut)
        for row, tokens, cut in zip(embedded.vectors, embedded.tokens, embedded.cut, strict=True)
    )
    return schemas.EmbeddedTexts(
        space=embedded.space,
        dimensions=dimensions,
        embeddings=await responses.encode_array(items, dimensions),
    )


@post(
    "/tokenize",
    operation_id="tokenize",
    operation_class=openapi.examples(_TOKENIZE),
    summary="Show the tokens of a text",
    status_code=200,
    response_headers=openapi.EMBEDDING_HEADERS,
    responses=problems.documented(413, 415, 422, 429, 503),
)
async def tokenize(
    request: BoundedRequest,
    service: NamedDependency[Service],
    data: JSONBody[schemas.TokenizeRequest],
) -> Response[schemas.TokenizedTexts]:
    """The same token ids that embedding uses, for whole texts: they are never cut."""
    texts, _ = _texts(service, data.text, data.texts)
    async with embeddings.open_model(service, data.model) as loaded:
        reading = loaded.model.tokenize(texts, role=data.input_type)
        tokenized = await responses.cancel_on_disconnect(request.receive, reading)
    answer = await _tokenize_answer(loaded, data, tokenized)
    tokens = sum(len(text.ids) for text in tokenized)
    headers = embeddings.response_headers(answer.space, tokens, cut=False)
    return responses.json_response(answer, headers)


async def _tokenize_answer(
    loaded: Loaded, request: schemas.TokenizeRequest, tokenized: Sequence[Tokenized]
) -> schemas.TokenizedTexts:
    model = loaded.model.description
    limit = model.space.max_tokens
    prompt = model.query_prompt if request.input_type == "query" else model.document_prompt
    items = (
        schemas.TokenizedText(
            ids=text.ids,
            tokens=text.tokens,
            offsets=text.offsets,
            count=len(text.ids),
            fits=limit is None or len(text.ids) <= limit,
        )
        for text in tokenized
    )
    longest = max(len(text.ids) for text in tokenized)
    return schemas.TokenizedTexts(
        space=embeddings.space_name(loaded),
        limit=limit,
        prompt=prompt.text,
        items=await responses.encode_array(items, 4 * longest),
    )


@post(
    "/similarity",
    operation_id="similarity",
    operation_class=openapi.examples(_SIMILARITY),
    summary="Compare texts by their cosine similarity",
    status_code=200,
    response_headers=openapi.EMBEDDING_HEADERS,
    responses=problems.documented(409, 413, 415, 422, 429, 503),
)
async def similarity(
    request: BoundedRequest,
    service: NamedDependency[Service],
    data: JSONBody[schemas.SimilarityRequest],
) -> Response[schemas.Scores | schemas.Matrix]:
    """`text` against each of `texts`; without `text`, all of `texts` against each other.

    All are embedded as documents; with `input_type` `query`, `text` is embedded as a query.
    """
    similarity_services.check(data, service.settings.max_text_chars)
    async with embeddings.open_model(service, data.model) as loaded:
        encoding = similarity_services.embed(loaded, data)
        text, texts = await responses.cancel_on_disconnect(request.receive, encoding)
    answer, headers = await similarity_services.compare(text, texts)
    return responses.json_response(answer, headers)


def _texts(
    service: Service, text: str | None, texts: list[str] | None
) -> tuple[list[str], embeddings.Field]:
    """The texts of a request, and the names of their fields. Raises Invalid."""
    if text is not None and texts is not None:
        raise problems.Invalid("texts", "can't be combined with `text`; send one of them")
    field: embeddings.Field
    if text is not None:
        texts, field = [text], embeddings.text_field
    elif texts is not None:
        field = embeddings.texts_field
    else:
        raise problems.Invalid("text", "is missing; send `text`, or `texts` for several")
    embeddings.check_lengths(texts, service.settings.max_text_chars, field)
    return texts, field


ROUTES = [embed, tokenize, similarity]
