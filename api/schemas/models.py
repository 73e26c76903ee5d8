"""Models as they go over the wire."""

from typing import Literal

from msgspec import Struct

from api.schemas import common as common_schemas


class QueueStatus(Struct, frozen=True, kw_only=True):
    """Tokens waiting for a model, and the limit; `problem`: why it can't encode now."""

    waiting_tokens: int
    capacity_tokens: int
    tokens_per_second: float
    problem: str | None


class Model(Struct, frozen=True, kw_only=True):
    """A stored space; fields that need the model's files are null or empty unless it is loaded.

    `aliases`: other names that requests may use; `same_spaces`: other fingerprints whose vectors
    were shown to be equal; `matryoshka`: requests may ask for fewer dimensions.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    space: str
    revision: str | None
    dimensions: int
    max_tokens: int | None
    precision: str
    document_prompt: str
    query_prompt: str
    prompt_source: str | None
    state: Literal["loaded", "unloaded", "missing"]
    default: bool
    directory: str | None
    backend: str | None
    canaries: str | None
    collections: list[str]
    warnings: list[str]
    aliases: list[str]
    same_spaces: list[str]
    matryoshka: bool | None
    include_prompt: bool | None
    memory_bytes: int | None
    queue: QueueStatus | None


class RequestLimits(Struct, frozen=True, kw_only=True):
    """The limits of one request; tokens are limited by each model's queue."""

    texts: int
    matrix_texts: int
    text_chars: int
    body_bytes: int


class ModelList(Struct, frozen=True, kw_only=True):
    """`available`: names of the available models, which are loaded on demand."""

    object: Literal["list"] = "list"
    data: list[Model]
    available: list[str]
    limits: RequestLimits
    problems: dict[str, str] = {}


class NewLink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`model` makes the same vectors as the stored space with the fingerprint `space`."""

    model: str
    space: str


class SpaceLink(Struct, frozen=True, kw_only=True):
    """The recorded link; `worst_cosine`: the lowest similarity of the two over all canaries."""

    fingerprint: str
    space: common_schemas.SpaceName
    worst_cosine: float
