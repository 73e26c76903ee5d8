"""What goes over the wire."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from indexing.results import Status

CollectionName = Annotated[
    str,
    Meta(
        # `$` alone would let a line end pass.
        pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$(?!\n)",
        description="Lower-case letters, digits, `_` and `-`; at most 63 characters.",
    ),
]
Metadata = dict[str, Any]


class ChunkingWish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long texts are cut; what is left out follows from the model."""

    strategy: Literal["sentence", "none"] = "sentence"
    size: Annotated[int, Meta(ge=1)] | None = None
    overlap: Annotated[int, Meta(ge=0)] | None = None


class NewCollection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: CollectionName
    model: str | None = None
    chunking: ChunkingWish = ChunkingWish()


class NewDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text; without an id one is derived from it."""

    text: str
    id: str | None = None
    metadata: Metadata = {}


class NewDocuments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    documents: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=1000)]


class MetadataPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`metadata` takes the place of the whole metadata; the text is not embedded again."""

    metadata: Metadata


class Removal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    filter: Metadata


class SearchRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    q: str
    limit: Annotated[int, Meta(ge=1, le=1000)] = 10
    exact: bool = False
    filter: Metadata | None = None
    expect_space: str | None = None


class SpaceName(Struct, frozen=True, kw_only=True):
    """The space that vectors of this answer belong to."""

    id: str
    model: str


class ChunkingShown(Struct, frozen=True, kw_only=True):
    strategy: str
    size: int | None
    overlap: int | None


class SearchPath(Struct, frozen=True, kw_only=True):
    """Which way a search takes now, and why."""

    path: Literal["exact", "hnsw"]
    reason: str
    ef_search: int | None = None
    recall: float | None = None


class Evidence(Struct, frozen=True, kw_only=True):
    """How an adopted table's vectors were shown to be of the collection's space.

    Of `rows` rows `sampled` random ones were embedded again. `share` of them reach `least_cosine`;
    of the others up to `stale_upper_bound_95` may have the vector of another text (95 %
    confidence).
    """

    source: str
    claimed: list[str]
    rows: int
    sampled: int
    median: float
    worst_5_percent: float
    worst: float
    share: float
    least_cosine: float
    stale_upper_bound_95: float
    at: datetime


class Collection(Struct, frozen=True, kw_only=True):
    name: str
    model: str
    space: SpaceName
    index: int
    chunking: ChunkingShown
    documents: int
    chunks: int
    pending: int
    created_at: datetime
    search: SearchPath
    evidence: Evidence | UnsetType = UNSET


class CollectionList(Struct, frozen=True, kw_only=True):
    items: list[Collection]
    next_cursor: str | None


class DocumentResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one document; `line` only in a stream."""

    id: str | None
    status: Status
    line: int | UnsetType = UNSET
    version: int | None = None
    chunks: int | None = None
    tokens: int | None = None
    cut: bool = False
    pending: bool = False
    warnings: tuple[str, ...] = ()
    reason: str | None = None
    detail: str | None = None


class DocumentResults(Struct, frozen=True, kw_only=True):
    collection: str
    space: SpaceName
    index: int
    results: list[DocumentResult]


class Document(Struct, frozen=True, kw_only=True):
    id: str
    text: str
    metadata: Metadata
    version: int
    chunks: int
    searchable: bool
    created_at: datetime
    updated_at: datetime


class DocumentLine(Struct, frozen=True, kw_only=True):
    id: str
    version: int
    metadata: Metadata
    chars: int
    created_at: datetime
    updated_at: datetime


class DocumentList(Struct, frozen=True, kw_only=True):
    items: list[DocumentLine]
    next_cursor: str | None


class Removed(Struct, frozen=True, kw_only=True):
    removed: int


class FoundChunk(Struct, frozen=True, kw_only=True):
    no: int
    start: int
    end: int
    text: str


class Found(Struct, frozen=True, kw_only=True):
    """A document by its best chunk; `score` is the cosine similarity."""

    id: str
    score: float
    metadata: Metadata
    chunk: FoundChunk


class SearchResponse(Struct, frozen=True, kw_only=True):
    """`complete`: widened until enough were found or none was left; `query_cut`: the query was
    longer than the model's limit, and only its beginning was read.
    """

    collection: str
    space: SpaceName
    index: int
    results: list[Found]
    complete: bool
    path: Literal["exact", "hnsw"]
    query_cut: bool = False


class Queue(Struct, frozen=True, kw_only=True):
    """Tokens that wait for a model and how many may; `problem`: why it gives no vectors now."""

    waiting_tokens: int
    capacity_tokens: int
    tokens_per_second: float
    problem: str | None


class ModelShown(Struct, frozen=True, kw_only=True):
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
    queue: Queue | None


class Limits(Struct, frozen=True, kw_only=True):
    """What one request may hold; tokens are bounded by each model's queue."""

    texts: int
    matrix_texts: int
    text_chars: int
    body_bytes: int


class ModelList(Struct, frozen=True, kw_only=True):
    """`available`: names of models at hand, loaded when they are asked for."""

    object: Literal["list"] = "list"
    data: list[ModelShown]
    available: list[str]
    limits: Limits
    problems: dict[str, str] = {}


class NewLink(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`model` makes the same vectors as the stored space whose fingerprint is `space`."""

    model: str
    space: str


class Link(Struct, frozen=True, kw_only=True):
    fingerprint: str
    space: SpaceName
    worst_cosine: float


class Health(Struct, frozen=True, kw_only=True):
    status: Literal["ok", "unavailable"]


class Readiness(Struct, frozen=True, kw_only=True):
    status: Literal["ok", "unavailable"]
    checks: dict[str, str]
    warnings: list[str]
