"""POST /v1/embeddings, compatible with OpenAI's clients."""

from collections.abc import Iterator, Sequence
from typing import cast

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from api.http import openai_errors, openapi, problems, responses
from api.http.json_body import BoundedRequest
from api.schemas.embeddings import Embedding, EmbeddingList, EmbeddingsRequest, Usage
from api.service import Service
from api.services import embeddings
from api.services.embeddings import Embedded, EmbedOptions
from indexing.models.loaded import Loaded

_OTHER_TOKENIZER = (
    "contains token ids, most likely of another tokenizer (OpenAI's tiktoken): this model would "
    "read other words. Send texts; LangChain's OpenAIEmbeddings does with "
    "check_embedding_ctx_length=False. Ids from POST /tokenize are accepted with "
    '"token_ids": "model"'
)
_EXAMPLES = {
    "texts": {"model": "bundled", "input": ["A newt is a small salamander.", "A boat."]},
    "query": {"model": "bundled:query", "input": "animal in a pond", "encoding_format": "base64"},
}


@post(
    openai_errors.PATH,
    operation_id="create_embeddings",
    operation_class=openapi.examples(_EXAMPLES),
    summary="Embed texts (OpenAI-compatible)",
    status_code=200,
    response_headers=openapi.EMBEDDING_HEADERS,
    responses=openai_errors.documented(400, 404, 409, 413, 415, 422, 429, 503),
)
async def create(
    request: BoundedRequest, service: NamedDependency[Service], data: JSONBody[EmbeddingsRequest]
) -> Response[EmbeddingList]:
    """Unit vectors for one text or up to 2,048. Errors have OpenAI's shape.

    `model` is required; `name:query` and `name:document` choose the prompt (default: document). A
    text over the model's limit is an error unless `truncate` is `end`.
    """
    model = embeddings.parse_model_name(data.model)
    options = _options(data, model.role)
    inputs = _inputs(data, service.settings.max_text_chars)
    async with embeddings.open_model(service, model.name) as loaded:
        encoding = _embed(loaded, inputs, options)
        embedded = await responses.cancel_on_disconnect(request.receive, encoding)
    return responses.json_response(await _answer(data, embedded), embedded.headers)


def _options(request: EmbeddingsRequest, suffix: embeddings.Role | None) -> EmbedOptions:
    if suffix and request.input_type and suffix != request.input_type:
        raise problems.Invalid(
            "input_type", f"is {request.input_type!r}, but the model's name ends with ':{suffix}'"
        )
    return EmbedOptions(
        role=suffix or request.input_type or "document",
        truncate=request.truncate == "end",
        dimensions=request.dimensions,
        expect_space=request.expect_space,
    )


def _inputs(request: EmbeddingsRequest, max_chars: int) -> list[str] | list[list[int]]:
    """Texts or rows of token ids, none of them empty. Raises Invalid."""
    inputs: Sequence[str | int | list[int]] = (
        [request.input] if isinstance(request.input, str) else request.input
    )
    if inputs and all(isinstance(item, int) for item in inputs):
        inputs = [cast(list[int], inputs)]
    if not inputs:
        raise problems.Invalid("input", "is an empty list; send at least one text")
    kinds = {type(item) for item in inputs}
    if len(kinds) > 1:
        raise problems.Invalid("input", "mixes texts and token ids; send texts")
    empty = next((place for place, item in enumerate(inputs) if not item), None)
    if empty is not None:
        raise problems.Invalid(_field(empty), "is empty; leave it out, or send some words")
    if kinds == {list} and request.token_ids is None:
        raise problems.Invalid("input", _OTHER_TOKENIZER, "token-ids")
    if kinds == {str}:
        embeddings.check_lengths(cast(list[str], inputs), max_chars, _field)
    return cast(list[str] | list[list[int]], inputs)


async def _embed(
    loaded: Loaded, inputs: Sequence[str] | Sequence[list[int]], options: EmbedOptions
) -> Embedded:
    if isinstance(inputs[0], str):
        return await embeddings.embed_texts(loaded, cast(Sequence[str], inputs), options, _field)
    if options.role == "query":
        raise problems.Invalid(
            "token_ids", "ids include their prompt already: leave out ':query' or `input_type`"
        )
    return await embeddings.embed_ids(loaded, cast(Sequence[list[int]], inputs), options, _field)


async def _answer(request: EmbeddingsRequest, embedded: Embedded) -> EmbeddingList:
    tokens = sum(embedded.tokens)
    return EmbeddingList(
        object="list",
        data=await responses.encode_array(_items(request, embedded), embedded.vectors.shape[1]),
        model=request.model,
        usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
        space=embedded.space,
        truncated=[place for place, cut in enumerate(embedded.cut) if cut],
    )


def _items(request: EmbeddingsRequest, embedded: Embedded) -> Iterator[Embedding]:
    if request.encoding_format == "base64":
        # msgspec writes bytes as base64.
        rows = embedded.vectors.astype("<f4", copy=False)
        yield from (Embedding(index=no, embedding=row.tobytes()) for no, row in enumerate(rows))
    else:
        rows = embedded.vectors
        yield from (Embedding(index=no, embedding=row.tolist()) for no, row in enumerate(rows))


def _field(no: int) -> str:
    return f"input[{no}]"


ROUTES = [create]
