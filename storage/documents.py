"""Documents: texts with metadata and an id chosen by the client."""

import dataclasses
import hashlib
import uuid
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import errors, filters, vector_tables
from storage.collections import CollectionRow
from storage.tables import documents


@dataclasses.dataclass(frozen=True)
class NewDocumentRow:
    """A document to store; `metadata` is an encoded JSON object."""

    doc_key: UUID
    id: str
    text: str
    text_hash: bytes
    metadata: bytes


@dataclasses.dataclass(frozen=True)
class StoredState:
    """What is stored for a document, as far as a write needs to know.

    `counts`: its vectors in the index are those of its present text.
    """

    text_hash: bytes
    version: int
    same_metadata: bool
    counts: bool


@dataclasses.dataclass(frozen=True)
class DocumentRow:
    doc_key: UUID
    id: str
    text: str
    metadata: dict[str, object]
    version: int
    chunks: int
    created_at: datetime
    updated_at: datetime


@dataclasses.dataclass(frozen=True)
class DocumentSummary:
    """A document as lists show it, without its text."""

    id: str
    version: int
    metadata: dict[str, object]
    chars: int
    created_at: datetime
    updated_at: datetime


def key(collection_id: UUID, document_id: str) -> UUID:
    """The primary key, derived from the client's id: uniqueness needs no second index."""
    return uuid.uuid5(collection_id, document_id)


def text_hash(text_: str) -> bytes:
    """128 bits over exactly what is embedded, before prompts."""
    return hashlib.blake2b(text_.encode(), digest_size=16).digest()


async def states(
    conn: AsyncConnection, index_id: int, new: Sequence[NewDocumentRow]
) -> dict[UUID, StoredState]:
    """The state of each of the `new` documents that exists already, by its key."""
    table = vector_tables.name(index_id)
    rows = await conn.execute(
        text(
            "SELECT d.doc_key, d.text_hash, d.version, d.metadata = n.metadata AS same_metadata,"
            f" EXISTS (SELECT 1 FROM {table} v WHERE v.doc_key = d.doc_key"
            " AND v.text_hash = d.text_hash) AS counts"
            " FROM unnest(CAST(:keys AS uuid[]), CAST(:metadata AS text[])::jsonb[])"
            " AS n(doc_key, metadata) JOIN documents d USING (doc_key)"
        ),
        {
            "keys": [document.doc_key for document in new],
            "metadata": [document.metadata.decode() for document in new],
        },
    )
    return {
        row.doc_key: StoredState(row.text_hash, row.version, row.same_metadata, row.counts)
        for row in rows
    }


_LOCK = text(
    "SELECT doc_key, text_hash FROM documents WHERE doc_key = ANY(CAST(:keys AS uuid[]))"
    " ORDER BY doc_key FOR NO KEY UPDATE"
)


async def lock(conn: AsyncConnection, doc_keys: Sequence[UUID]) -> dict[UUID, bytes]:
    """Lock the documents that exist, in the order of their keys; returns their text hashes."""
    rows = await conn.execute(_LOCK, {"keys": list(doc_keys)})
    return {row.doc_key: row.text_hash for row in rows}


# Sending the same document again, or healing its vectors, is not a change.
_CHANGED = "(documents.text_hash <> excluded.text_hash OR documents.metadata <> excluded.metadata)"
_UPSERT = text(
    "INSERT INTO documents (doc_key, collection_id, id, text_hash, text, metadata)"
    " SELECT n.doc_key, :collection, n.id, n.text_hash, n.text, n.metadata::jsonb"
    " FROM unnest(CAST(:keys AS uuid[]), CAST(:ids AS text[]), CAST(:hashes AS bytea[]),"
    " CAST(:texts AS text[]), CAST(:metadata AS text[]))"
    " AS n(doc_key, id, text_hash, text, metadata) ORDER BY n.doc_key"
    " ON CONFLICT (doc_key) DO UPDATE SET text_hash = excluded.text_hash, text = excluded.text,"
    f" metadata = excluded.metadata, version = documents.version + {_CHANGED}::int,"
    f" updated_at = CASE WHEN {_CHANGED} THEN now() ELSE documents.updated_at END"
    " RETURNING doc_key, version"
)


async def upsert(
    conn: AsyncConnection, collection_id: UUID, new: Sequence[NewDocumentRow]
) -> dict[UUID, int]:
    """Store documents (no key twice); returns each one's version, which is 1 if it is new."""
    if not new:
        return {}
    rows = await conn.execute(
        _UPSERT,
        {
            "collection": collection_id,
            "keys": [document.doc_key for document in new],
            "ids": [document.id for document in new],
            "hashes": [document.text_hash for document in new],
            "texts": [document.text for document in new],
            "metadata": [document.metadata.decode() for document in new],
        },
    )
    return {row.doc_key: row.version for row in rows}


async def get(conn: AsyncConnection, collection: CollectionRow, document_id: str) -> DocumentRow:
    """Raises DocumentNotFound. `chunks` counts those that count in the active index."""
    table = vector_tables.name(collection.active_index_id)
    row = (
        await conn.execute(
            text(
                "SELECT doc_key, id, text, metadata, version, (SELECT count(*) FROM"
                f" {table} v WHERE v.doc_key = d.doc_key AND v.text_hash = d.text_hash) AS chunks,"
                " created_at, updated_at FROM documents d WHERE doc_key = :key"
            ),
            {"key": key(collection.id, document_id)},
        )
    ).first()
    if row is None:
        raise errors.DocumentNotFound(collection.name, document_id)
    return DocumentRow(**row._mapping)


async def page(
    conn: AsyncConnection, collection_id: UUID, after: UUID | None, limit: int
) -> list[tuple[UUID, DocumentSummary]]:
    """Documents sorted by key, starting after `after`."""
    rows = await conn.execute(
        text(
            "SELECT doc_key, id, version, metadata, length(text) AS chars, created_at, updated_at"
            " FROM documents WHERE collection_id = :collection"
            " AND doc_key > coalesce(:after, '00000000-0000-0000-0000-000000000000'::uuid)"
            f" ORDER BY doc_key LIMIT {limit:d}"
        ),
        {"collection": collection_id, "after": after},
    )
    return [(row.doc_key, DocumentSummary(*list(row)[1:])) for row in rows]


async def patch_metadata(
    conn: AsyncConnection, collection: CollectionRow, document_id: str, metadata: dict[str, object]
) -> None:
    """Replace the metadata; the text and its vectors stay. Raises DocumentNotFound."""
    result = await conn.execute(
        text(
            "UPDATE documents SET metadata = n.metadata,"
            " version = version + (documents.metadata <> n.metadata)::int, updated_at = now()"
            " FROM (SELECT CAST(:metadata AS jsonb)) AS n(metadata) WHERE doc_key = :key"
        ),
        {
            "key": key(collection.id, document_id),
            "metadata": msgspec.json.encode(metadata).decode(),
        },
    )
    if result.rowcount == 0:
        raise errors.DocumentNotFound(collection.name, document_id)


async def remove(conn: AsyncConnection, doc_keys: Sequence[UUID]) -> list[UUID]:
    """Delete the documents but not their vectors; returns the keys of those that existed."""
    ordered = sorted(doc_keys)
    await lock(conn, ordered)
    query = delete(documents).where(documents.c.doc_key.in_(ordered))
    return list((await conn.execute(query.returning(documents.c.doc_key))).scalars())


async def matching(
    conn: AsyncConnection, collection_id: UUID, condition: filters.Filter, limit: int
) -> list[UUID]:
    """Keys of up to `limit` documents whose metadata match the filter."""
    query = (
        select(documents.c.doc_key)
        .where(documents.c.collection_id == collection_id, filters.clause(condition))
        .order_by(documents.c.doc_key)
        .limit(limit)
    )
    return list((await conn.execute(query)).scalars())
