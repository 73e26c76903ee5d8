"""Texts that a live index still lacks: added with a document, removed with its vectors."""

import dataclasses
from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import vector_tables

MAX_ATTEMPTS = 5
GAVE_UP = f"gave-up: {MAX_ATTEMPTS} attempts ended without a result"


@dataclasses.dataclass(frozen=True)
class PendingCounts:
    """`waiting` texts have not had their turn; `failed` ones are set aside with a reason."""

    waiting: int
    failed: int


async def add(conn: AsyncConnection, index_id: int, hashes: Mapping[UUID, bytes]) -> None:
    """Record, in the transaction of the texts, that the index lacks them."""
    ordered = sorted(hashes.items())
    await conn.execute(
        text(
            "INSERT INTO pending (index_id, doc_key, text_hash) SELECT :index, n.k, n.h"
            " FROM unnest(CAST(:keys AS uuid[]), CAST(:hashes AS bytea[])) AS n(k, h)"
            " ON CONFLICT (index_id, doc_key) DO UPDATE SET text_hash = excluded.text_hash,"
            " attempts = 0, error = NULL, lease_until = NULL,"
            " lease_epoch = pending.lease_epoch + 1"
        ),
        {
            "index": index_id,
            "keys": [key for key, _ in ordered],
            "hashes": [digest for _, digest in ordered],
        },
    )


async def add_missing(conn: AsyncConnection, index_id: int, collection_id: UUID, limit: int) -> int:
    """Add up to `limit` documents that have neither vectors nor a row here: heals any crash."""
    table = vector_tables.name(index_id)
    result = await conn.execute(
        text(
            "INSERT INTO pending (index_id, doc_key, text_hash)"
            " SELECT :index, d.doc_key, d.text_hash FROM documents d"
            " WHERE d.collection_id = :collection"
            f" AND NOT EXISTS (SELECT 1 FROM {table} v WHERE v.doc_key = d.doc_key"
            " AND v.text_hash = d.text_hash) AND NOT EXISTS (SELECT 1 FROM pending p"
            " WHERE p.index_id = :index AND p.doc_key = d.doc_key)"
            f" LIMIT {limit:d} ON CONFLICT DO NOTHING"
        ),
        {"index": index_id, "collection": collection_id},
    )
    return result.rowcount


async def remove_stale(conn: AsyncConnection, index_id: int) -> None:
    """Remove the rows of deleted documents and of texts that have changed."""
    await conn.execute(
        text(
            "DELETE FROM pending p WHERE p.index_id = :index AND NOT EXISTS (SELECT 1"
            " FROM documents d WHERE d.doc_key = p.doc_key AND d.text_hash = p.text_hash)"
        ),
        {"index": index_id},
    )


async def set_aside(
    conn: AsyncConnection, index_id: int, failures: Sequence[tuple[UUID, bytes, str]]
) -> None:
    """Record texts (doc_key, text_hash, reason) that can't be embedded.

    They are not tried again before `retry_failed`.
    """
    ordered = sorted(failures)
    await conn.execute(
        text(
            "INSERT INTO pending (index_id, doc_key, text_hash, attempts, error)"
            " SELECT :index, n.k, n.h, :most, n.r FROM unnest(CAST(:keys AS uuid[]),"
            " CAST(:hashes AS bytea[]), CAST(:reasons AS text[])) AS n(k, h, r)"
            " ON CONFLICT (index_id, doc_key) DO UPDATE SET text_hash = excluded.text_hash,"
            " attempts = excluded.attempts, error = excluded.error, lease_until = NULL,"
            " lease_epoch = pending.lease_epoch + 1"
        ),
        {
            "index": index_id,
            "most": MAX_ATTEMPTS,
            "keys": [key for key, _, _ in ordered],
            "hashes": [digest for _, digest, _ in ordered],
            "reasons": [reason for _, _, reason in ordered],
        },
    )


async def retry_failed(conn: AsyncConnection, index_id: int) -> int:
    """Let everything that was set aside be tried again; returns how many."""
    result = await conn.execute(
        text(
            "UPDATE pending SET attempts = 0, error = NULL, lease_until = NULL"
            " WHERE index_id = :index AND error IS NOT NULL"
        ),
        {"index": index_id},
    )
    return result.rowcount


async def counts(conn: AsyncConnection, index_id: int) -> PendingCounts:
    row = await conn.execute(
        text(
            "SELECT count(*) FILTER (WHERE error IS NULL), count(*) FILTER (WHERE error IS NOT"
            " NULL) FROM pending WHERE index_id = :index"
        ),
        {"index": index_id},
    )
    return PendingCounts(*row.one())


async def failed(conn: AsyncConnection, index_id: int, limit: int) -> list[tuple[str, str]]:
    """Ids of documents whose text can't be embedded, each with the reason."""
    rows = await conn.execute(
        text(
            "SELECT d.id, p.error FROM pending p JOIN documents d USING (doc_key)"
            " WHERE p.index_id = :index AND p.error IS NOT NULL AND p.text_hash = d.text_hash"
            f" ORDER BY d.id LIMIT {limit:d}"
        ),
        {"index": index_id},
    )
    return [(row.id, row.error) for row in rows]


async def waiting_ids(conn: AsyncConnection, index_id: int, limit: int) -> list[str]:
    """Ids of documents that the index still lacks, for any reason."""
    rows = await conn.execute(
        text(
            "SELECT d.id FROM pending p JOIN documents d USING (doc_key) WHERE p.index_id = :index"
            f" ORDER BY d.id LIMIT {limit:d}"
        ),
        {"index": index_id},
    )
    return list(rows.scalars())


async def complete(
    conn: AsyncConnection, index_id: int, written: Sequence[tuple[UUID, bytes]]
) -> None:
    """Remove these texts (doc_key, text_hash), whose vectors this transaction writes."""
    await conn.execute(
        text(
            "DELETE FROM pending p USING unnest(CAST(:keys AS uuid[]), CAST(:hashes AS bytea[]))"
            " AS n(k, h) WHERE p.index_id = :index AND p.doc_key = n.k AND p.text_hash = n.h"
        ),
        {
            "index": index_id,
            "keys": [key for key, _ in written],
            "hashes": [digest for _, digest in written],
        },
    )


async def remove(conn: AsyncConnection, index_id: int, doc_keys: Sequence[UUID]) -> None:
    """Remove documents that have their vectors now, or that are gone."""
    await conn.execute(
        text(
            "DELETE FROM pending WHERE index_id = :index AND doc_key = ANY(CAST(:keys AS uuid[]))"
        ),
        {"index": index_id, "keys": list(doc_keys)},
    )


@dataclasses.dataclass(frozen=True)
class IndexCoverage:
    """`missing` documents have no vector of their present text.

    Of these, `failed` can't have one, and `waiting` are pending and will have their turn.
    """

    documents: int
    missing: int
    failed: int
    waiting: int


async def measure_coverage(
    conn: AsyncConnection, collection_id: UUID, index_id: int
) -> IndexCoverage:
    table = vector_tables.name(index_id)
    query = text(
        "SELECT (SELECT count(*) FROM documents WHERE collection_id = :collection), count(*),"
        " count(*) FILTER (WHERE EXISTS (SELECT 1 FROM pending p WHERE p.index_id = :index"
        "  AND p.doc_key = d.doc_key AND p.text_hash = d.text_hash AND p.error IS NOT NULL)),"
        " count(*) FILTER (WHERE EXISTS (SELECT 1 FROM pending p WHERE p.index_id = :index"
        "  AND p.doc_key = d.doc_key AND p.text_hash = d.text_hash AND p.error IS NULL))"
        " FROM documents d WHERE d.collection_id = :collection AND NOT EXISTS"
        f" (SELECT 1 FROM {table} v WHERE v.doc_key = d.doc_key"
        "  AND v.text_hash = d.text_hash)"
    )
    row = await conn.execute(query, {"collection": collection_id, "index": index_id})
    return IndexCoverage(*row.one())
