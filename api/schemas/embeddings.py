"""Requests and answers of the routes that embed."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from api.schemas.common import SpaceName

MAX_TEXTS = 2048
MAX_MATRIX = 512

InputType = Annotated[
    Literal["query", "document"],
    Meta(description="Which of the model's prompts to put before the texts."),
]
Truncate = Annotated[
    Literal["none", "end"],
    Meta(
        description="`none`: a text longer than the model's limit is an error; `end`: only its "
        "beginning is embedded, and the answer says so."
    ),
]
Dimensions = Annotated[
    int,
    Meta(ge=1, description="Fewer than the model's own only if it was trained for that."),
]
ExpectSpace = Annotated[str, Meta(description="409 if the vectors would belong to another space.")]
Model = Annotated[
    str,
    Meta(description="One of `GET /v1/models`, by id, alias or space; default: the default model."),
]
Texts = Annotated[list[str], Meta(min_length=1, max_length=MAX_TEXTS)]
# The model's own check knows its vocabulary; this one keeps ids in the range of its arrays.
TokenId = Annotated[int, Meta(ge=0, lt=2**31)]


class EmbeddingsRequest(Struct, frozen=True, kw_only=True):
    """OpenAI's request; unknown fields, such as `user`, are ignored.

    `model` may end with `:query` or `:document` to choose the prompt, as `input_type` does.
    `token_ids` is `model` if `input` holds ids of the model's own tokenizer, from `POST /tokenize`;
    without it token arrays are refused.
    """

    input: str | Annotated[list[str | TokenId | list[TokenId]], Meta(max_length=MAX_TEXTS)]
    model: str
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Dimensions | None = None
    input_type: InputType | None = None
    truncate: Truncate | None = None
    token_ids: Literal["model"] | None = None
    expect_space: ExpectSpace | None = None


class Embedding(Struct, frozen=True, kw_only=True):
    """`embedding` is a list of numbers, or their float32 bytes, little-endian, in base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | bytes


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens that the model read, including prompt and special tokens."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """OpenAI's answer with `space`; `truncated`: the indexes of the texts that were cut."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage
    space: SpaceName
    truncated: list[int] = []


class OpenAIError(Struct, frozen=True, kw_only=True):
    """`param` names the wrong field."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIErrorBody(Struct, frozen=True, kw_only=True):
    """OpenAI's shape of an error; `code` is stable."""

    error: OpenAIError


class EmbedRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either `text` or `texts`."""

    text: str | None = None
    texts: Texts | None = None
    model: Model | None = None
    input_type: InputType = "document"
    truncate: Truncate = "none"
    dimensions: Dimensions | None = None
    expect_space: ExpectSpace | None = None


class EmbeddedText(Struct, frozen=True, kw_only=True):
    """`tokens`: how many were read, with prompt and special tokens; `truncated`: it had more."""

    embedding: list[float]
    tokens: int
    truncated: bool


class EmbeddedTexts(Struct, frozen=True, kw_only=True):
    """The vectors, in the order of the texts."""

    space: SpaceName
    dimensions: int
    embeddings: list[EmbeddedText]


class TokenizeRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either `text` or `texts`."""

    text: str | None = None
    texts: Texts | None = None
    model: Model | None = None
    input_type: InputType = "document"


class TokenizedText(Struct, frozen=True, kw_only=True):
    """A whole text as the model would read it, including prompt and special tokens.

    `offsets` are in characters of the text, null for prompt and special tokens. If it does not fit
    (`fits`), embedding it needs `truncate` and reads only its first tokens.
    """

    ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int] | None]
    count: int
    fits: bool


class TokenizedTexts(Struct, frozen=True, kw_only=True):
    """`limit`: how many tokens of a text the model reads; null if there is no limit."""

    space: SpaceName
    limit: int | None
    prompt: str
    items: list[TokenizedText]


class SimilarityRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`text` against each of `texts`; without `text`, all of `texts` against each other.

    `texts` are embedded as documents. `input_type` applies to `text`: `query` if it is a question
    about them. Without `text`, at most 512 texts are allowed.
    """

    text: str | None = None
    texts: Texts
    model: Model | None = None
    input_type: InputType = "document"
    truncate: Truncate = "none"
    dimensions: Dimensions | None = None
    expect_space: ExpectSpace | None = None


class Scores(Struct, frozen=True, kw_only=True):
    """Cosine similarities with `text`, in the order of `texts`."""

    space: SpaceName
    scores: list[float]


class Matrix(Struct, frozen=True, kw_only=True):
    """Cosine similarities, texts x texts."""

    space: SpaceName
    matrix: list[list[float]]
