"""Rows of another program's table as documents, with or without their vector, and why."""

import collections
import dataclasses
from collections.abc import Collection, Sequence
from typing import Literal
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray

from embedding.errors import NoTokens
from embedding.text import chunking
from indexing.adoption import matching
from storage import documents
from storage.adoption.source_rows import SourceRow
from storage.documents import NewDocumentRow
from storage.vectors import VectorRow

EXAMPLES = 20

Reason = Literal[
    "no id",
    "id too long",
    "id twice",
    "no text",
    "text too long",
    "no words",
    "metadata too deep",
    "no vector",
    "vector without direction",
    "other dimensions",
    "stale",
    "cut elsewhere",
]


@dataclasses.dataclass(frozen=True)
class RowLimits:
    """The limits of documents."""

    id_bytes: int
    text_chars: int
    metadata_depth: int


@dataclasses.dataclass(frozen=True, eq=False)
class ImportedRow:
    """A row as a document; without a `vector`, the service has to embed it for this `reason`."""

    document: NewDocumentRow
    vector: VectorRow | None
    reason: Reason | None = None


class RowTally:
    """How many rows were imported, left out, and imported without their vector; with examples."""

    def __init__(self) -> None:
        self.taken = 0
        self.left_out: collections.Counter[Reason] = collections.Counter()
        self.pending: collections.Counter[Reason] = collections.Counter()
        self.examples: dict[Reason, list[str]] = {}

    def leave_out(self, reason: Reason, row_id: str | None) -> None:
        self.left_out[reason] += 1
        self._note(reason, row_id)

    def take(self, row: ImportedRow) -> None:
        self.taken += 1
        if row.reason is not None:
            self.pending[row.reason] += 1
            self._note(row.reason, row.document.id)

    def _note(self, reason: Reason, row_id: str | None) -> None:
        ids = self.examples.setdefault(reason, [])
        if len(ids) < EXAMPLES and row_id is not None:
            ids.append(row_id)


@dataclasses.dataclass(frozen=True)
class Rules:
    """How rows become documents of a collection in a space.

    `stale`: ids of rows whose text is known to differ from the embedded one. `cut_elsewhere`: texts
    over the model's limit were embedded with another limit.
    """

    collection_id: UUID
    space_id: int
    dimensions: int
    limits: RowLimits
    stale: Collection[str]
    cut_elsewhere: bool

    def refusal(self, row: SourceRow) -> Reason | None:
        """Why the row can't become a document, as far as it shows without a model."""
        if not row.id:
            return "no id"
        if len(row.id.encode()) > self.limits.id_bytes:
            return "id too long"
        if row.text is None or not row.text.strip():
            return "no text"
        if len(row.text) > self.limits.text_chars:
            return "text too long"
        if _depth(row.metadata) > self.limits.metadata_depth:
            return "metadata too deep"
        return None

    def convert(
        self, row: SourceRow, prepared: chunking.Prepared | NoTokens
    ) -> ImportedRow | Reason:
        """The row as a document, or why it can't be one."""
        if isinstance(prepared, NoTokens):
            return "no words"
        text, id_ = row.text or "", row.id or ""
        key, digest = documents.key(self.collection_id, id_), documents.text_hash(text)
        document = NewDocumentRow(key, id_, text, digest, row.metadata.encode())
        embedding = self._embedding(row, cut=prepared.cut)
        if isinstance(embedding, str):
            return ImportedRow(document, None, embedding)
        chunk = prepared.chunks[0]
        vector = VectorRow(
            doc_key=key,
            chunk_no=0,
            text_hash=digest,
            space_id=self.space_id,
            char_start=chunk.char_start,
            char_end=chunk.char_end,
            token_count=chunk.token_count,
            embedding=embedding,
        )
        return ImportedRow(document, vector)

    def _embedding(self, row: SourceRow, *, cut: bool) -> NDArray[np.float32] | Reason:
        if row.embedding is None:
            return "no vector"
        if len(row.embedding) != self.dimensions:
            return "other dimensions"
        unit = matching.unit_length(row.embedding, self.dimensions)
        if unit is None:
            return "vector without direction"
        if row.id in self.stale:
            return "stale"
        if cut and self.cut_elsewhere:
            return "cut elsewhere"
        return unit.astype(np.float32)


def unique(rows: Sequence[ImportedRow]) -> tuple[list[ImportedRow], list[ImportedRow]]:
    """The first row of each id, and the repeated ones."""
    first: dict[UUID, ImportedRow] = {}
    repeated = []
    for row in rows:
        if row.document.doc_key in first:
            repeated.append(row)
        else:
            first[row.document.doc_key] = row
    return list(first.values()), repeated


def _depth(metadata: str) -> int:
    """Levels of nesting; the object itself is not counted."""
    if metadata.count("{") + metadata.count("[") <= 1:
        return 0
    try:
        return _levels(msgspec.json.decode(metadata))
    except RecursionError:
        return len(metadata)


def _levels(value: object) -> int:
    if isinstance(value, dict):
        return max((1 + _levels(part) for part in value.values()), default=0)
    if isinstance(value, list):
        return max((1 + _levels(part) for part in value), default=0)
    return 0
