"""Searches as they go over the wire."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from api.schemas import common as common_schemas


class SearchRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`exact` compares with every vector; `expect_space`: 409 if another space is searched."""

    q: str
    limit: Annotated[int, Meta(ge=1, le=1000)] = 10
    exact: bool = False
    filter: common_schemas.Metadata | None = None
    expect_space: str | None = None


class ResultChunk(Struct, frozen=True, kw_only=True):
    """The best chunk of a document: characters `start` to `end` of its text."""

    no: int
    start: int
    end: int
    text: str


class SearchResult(Struct, frozen=True, kw_only=True):
    """A document by its best chunk; `score` is the cosine similarity."""

    id: str
    score: float
    metadata: common_schemas.Metadata
    chunk: ResultChunk


class SearchResponse(Struct, frozen=True, kw_only=True):
    """`complete`: the search was widened until it had `limit` results, or no more exist.

    `query_cut`: the query was longer than the model's limit; only its beginning was read.
    """

    collection: str
    space: common_schemas.SpaceName
    index: int
    results: list[SearchResult]
    complete: bool
    path: Literal["exact", "hnsw"]
    query_cut: bool = False
