"""A rolling sample of what was searched in each collection, to judge a migration by."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import documents

KEPT = 1000


async def record(conn: AsyncConnection, collection_id: UUID, texts: Sequence[str]) -> None:
    """Keep these; beyond KEPT the oldest go."""
    hashes = {documents.text_hash(one): one for one in texts}
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
            "texts": [one for _, one in ordered],
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
    """Up to `count` of them, the newest."""
    rows = await conn.execute(
        text(
            "SELECT text FROM queries WHERE collection_id = :collection"
            f" ORDER BY seen_at DESC, text_hash LIMIT {count:d}"
        ),
        {"collection": collection_id},
    )
    return list(rows.scalars())
