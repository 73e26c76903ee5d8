"""POST /v1/embeddings, as OpenAI's clients use it."""

from collections.abc import Iterator, Sequence
from typing import cast

from litestar import Response, post
from litestar.di import NamedDependency

from api.http import bodies, openai_errors, openapi, problems, responses
from api.routes.documents import AnyRequest
from api.schemas.embeddings import Embedding, EmbeddingList, EmbeddingsRequest, Usage
from api.service import Service
from api.services import embeddings
from api.services.embeddings import Embedded, EmbedOptions
from indexing.models.loaded import Loaded

_OTHER_TOKENIZER = (
    "holds token ids, which are most likely those of another tokenizer (OpenAI's tiktoken): this "
    "model would read other words. Send texts; LangChain's OpenAIEmbeddings does with "
    "check_embedding_ctx_length=False. Ids that POST /tokenize gave are taken with "
    '"token_ids": "model"'
)
_EXAMPLES = {
    "texts": {"model": "bundled", "input": ["A newt is a small salamander.", "A boat."]},
    "query": {"model": "bundled:query", "input": "animal in a pond", "encoding_format": "base64"},
}


@post(
    openai_errors.PATH,
    operation_id="create_embeddings",
    operation_class=openapi.body(EmbeddingsRequest, _EXAMPLES),
    summary="Embed texts, as OpenAI's clients do",
    status_code=200,
    response_headers=openapi.EMBEDDING_HEADERS,
    responses=openai_errors.documented(400, 404, 409, 413, 415, 422, 429, 503),
)
async def create(request: AnyRequest, service: NamedDependency[Service]) -> Response[EmbeddingList]:
    """Unit vectors for one text or up to 2,048. Errors have OpenAI's shape.

    `model` is needed; `name:query` and `name:document` choose the prompt (default: document). A
    text over the model's limit is an error unless `truncate` is `end`.
    """
    sent = await bodies.read(request, EmbeddingsRequest, service.settings.max_body_bytes)
    model = embeddings.parse_model_name(sent.model)
    wish = _wish(sent, model.role)
    given = _inputs(sent, service.settings.max_text_chars)
    async with embeddings.open_model(service, model.name) as loaded:
        encoding = _encoded(loaded, given, wish)
        found = await responses.cancel_on_disconnect(request.receive, encoding)
    return responses.json_response(await _answer(sent, found), found.headers)


def _wish(sent: EmbeddingsRequest, suffix: embeddings.Role | None) -> EmbedOptions:
    if suffix and sent.input_type and suffix != sent.input_type:
        raise problems.Invalid(
            "input_type", f"is {sent.input_type!r}, but the model's name ends with ':{suffix}'"
        )
    return EmbedOptions(
        role=suffix or sent.input_type or "document",
        truncate=sent.truncate == "end",
        dimensions=sent.dimensions,
        expect_space=sent.expect_space,
    )


def _inputs(sent: EmbeddingsRequest, max_chars: int) -> list[str] | list[list[int]]:
    """Texts or rows of token ids, none of them empty. Raises Invalid."""
    given: Sequence[str | int | list[int]] = (
        [sent.input] if isinstance(sent.input, str) else sent.input
    )
    if given and all(isinstance(one, int) for one in given):
        given = [cast(list[int], given)]
    if not given:
        raise problems.Invalid("input", "is an empty list; send at least one text")
    kinds = {type(one) for one in given}
    if len(kinds) > 1:
        raise problems.Invalid("input", "mixes texts and token ids; send texts")
    empty = next((place for place, one in enumerate(given) if not one), None)
    if empty is not None:
        raise problems.Invalid(_field(empty), "is empty; leave it out or give it some words")
    if kinds == {list} and sent.token_ids is None:
        raise problems.Invalid("input", _OTHER_TOKENIZER, "token-ids")
    if kinds == {str}:
        embeddings.check_lengths(cast(list[str], given), max_chars, _field)
    return cast(list[str] | list[list[int]], given)


async def _encoded(
    loaded: Loaded, given: Sequence[str] | Sequence[list[int]], wish: EmbedOptions
) -> Embedded:
    if isinstance(given[0], str):
        return await embeddings.of_texts(loaded, cast(Sequence[str], given), wish, _field)
    if wish.role == "query":
        raise problems.Invalid(
            "token_ids", "ids hold their prompt already: leave ':query' or `input_type` out"
        )
    return await embeddings.of_ids(loaded, cast(Sequence[list[int]], given), wish, _field)


async def _answer(sent: EmbeddingsRequest, found: Embedded) -> EmbeddingList:
    tokens = sum(found.tokens)
    return EmbeddingList(
        object="list",
        data=await responses.encode_array(_items(sent, found), found.vectors.shape[1]),
        model=sent.model,
        usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
        space=found.space,
        truncated=[place for place, cut in enumerate(found.cut) if cut],
    )


def _items(sent: EmbeddingsRequest, found: Embedded) -> Iterator[Embedding]:
    if sent.encoding_format == "base64":
        # msgspec writes bytes as base64.
        rows = found.vectors.astype("<f4", copy=False)
        yield from (Embedding(index=no, embedding=row.tobytes()) for no, row in enumerate(rows))
    else:
        rows = found.vectors
        yield from (Embedding(index=no, embedding=row.tolist()) for no, row in enumerate(rows))


def _field(place: int) -> str:
    return f"input[{place}]"


ROUTES = [create]
