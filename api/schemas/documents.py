"""Documents as they go over the wire."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from api.schemas import common as common_schemas
from indexing.documents.results import Status


class NewDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document to write; without an id, the id is derived from the text."""

    text: str
    id: str | None = None
    metadata: common_schemas.Metadata = {}


class NewDocuments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Documents to write in one request."""

    documents: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=1000)]


class MetadataPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`metadata` replaces all metadata; the text is not embedded again."""

    metadata: common_schemas.Metadata


class Removal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which documents to delete: those whose metadata match the filter."""

    filter: common_schemas.Metadata


class DocumentResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of writing one document; `line` only in a stream."""

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
    """A result for each document, in the order of the request."""

    collection: str
    space: common_schemas.SpaceName
    index: int
    results: list[DocumentResult]


class Document(Struct, frozen=True, kw_only=True):
    """A stored document; `searchable`: the active index has vectors of its current text."""

    id: str
    text: str
    metadata: common_schemas.Metadata
    version: int
    chunks: int
    searchable: bool
    created_at: datetime
    updated_at: datetime


class DocumentLine(Struct, frozen=True, kw_only=True):
    """A document in a list, without its text."""

    id: str
    version: int
    metadata: common_schemas.Metadata
    chars: int
    created_at: datetime
    updated_at: datetime


class DocumentList(Struct, frozen=True, kw_only=True):
    """A page of documents, in a fixed order."""

    items: list[DocumentLine]
    next_cursor: str | None


class Removed(Struct, frozen=True, kw_only=True):
    """How many documents were deleted."""

    removed: int
