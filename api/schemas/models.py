"""Models as they go over the wire."""

from typing import Literal

from msgspec import Struct

from api.schemas import common as common_schemas


class QueueStatus(Struct, frozen=True, kw_only=True):
    """Tokens that wait for a model and how many may; `problem`: why it gives no vectors now."""

    waiting_tokens: int
    capacity_tokens: int
    tokens_per_second: float
    problem: str | None


class Model(Struct, frozen=True, kw_only=True):
    """A stored space; what only its files tell is null or empty unless it is loaded.

    `aliases`: other names that requests may use; `same_spaces`: other fingerprints whose vectors
    were shown to be equal; `matryoshka`: fewer dimensions may be asked for.
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
    """What one request may hold; tokens are bounded by each model's queue."""

    texts: int
    matrix_texts: int
    text_chars: int
    body_bytes: int


class ModelList(Struct, frozen=True, kw_only=True):
    """`available`: names of models at hand, loaded when they are asked for."""

    object: Literal["list"] = "list"
    data: list[Model]
    available: list[str]
    limits: RequestLimits
    problems: dict[str, str] = {}


class NewLink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`model` makes the same vectors as the stored space whose fingerprint is `space`."""

    model: str
    space: str


class SpaceLink(Struct, frozen=True, kw_only=True):
    fingerprint: str
    space: common_schemas.SpaceName
    worst_cosine: float
