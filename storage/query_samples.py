"""A rolling sample of each collection's queries, by which a migration is judged."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import documents

KEPT = 1000


async def record(conn: AsyncConnection, collection_id: UUID, texts: Sequence[str]) -> None:
    """Keep these queries; the oldest beyond KEPT are removed."""
    hashes = {documents.text_hash(query): query for query in texts}
    ordered = sorted(hashes.items())
    await conn.execute(
        text(
            "INSERT INTO queries (collection_id, text_hash, text) SELECT :collection, n.h, n.t"
            " FROM unnest(CAST(:hashes AS bytea[]), CAST(:texts AS text[])) AS n(h, t)"
            " ON CONFLICT (collection_id, text_hash) DO UPDATE SET seen_at = now()"
        ),
        {
            "collection": collection_id,
            "hashes": [digest for digest, _ in ordered],
            "texts": [query for _, query in ordered],
        },
    )
    await conn.execute(
        text(
            "DELETE FROM queries WHERE collection_id = :collection AND text_hash IN ("
            " SELECT text_hash FROM queries WHERE collection_id = :collection"
            f" ORDER BY seen_at DESC, text_hash OFFSET {KEPT})"
        ),
        {"collection": collection_id},
    )


async def newest(conn: AsyncConnection, collection_id: UUID, count: int) -> list[str]:
    """Up to `count` queries, newest first."""
    rows = await conn.execute(
        text(
            "SELECT text FROM queries WHERE collection_id = :collection"
            f" ORDER BY seen_at DESC, text_hash LIMIT {count:d}"
        ),
        {"collection": collection_id},
    )
    return list(rows.scalars())
