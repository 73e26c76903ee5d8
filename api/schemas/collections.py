"""Collections as they go over the wire."""

from datetime import datetime
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from api.schemas import common as common_schemas


class NewCollection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A collection to create; without `model` it gets the default one."""

    name: common_schemas.CollectionName
    model: str | None = None
    chunking: common_schemas.ChunkingOptions = common_schemas.ChunkingOptions()


class SearchPath(Struct, frozen=True, kw_only=True):
    """How a search runs at present, and why."""

    path: Literal["exact", "hnsw"]
    reason: str
    ef_search: int | None = None
    recall: float | None = None


class Evidence(Struct, frozen=True, kw_only=True):
    """How the vectors of an adopted table were shown to belong to the collection's space.

    Of `rows` rows, `sampled` random ones were embedded again. `share` of them reach `least_cosine`;
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
    """A collection with its active index; `pending`: documents that wait to be embedded."""

    name: str
    model: str
    space: common_schemas.SpaceName
    index: int
    chunking: common_schemas.Chunking
    documents: int
    chunks: int
    pending: int
    created_at: datetime
    search: SearchPath
    evidence: Evidence | UnsetType = UNSET


class CollectionList(Struct, frozen=True, kw_only=True):
    """A page of collections, by name."""

    items: list[Collection]
    next_cursor: str | None
