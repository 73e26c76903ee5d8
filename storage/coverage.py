"""Which documents an index lacks: proven by a query, never by counters."""

import dataclasses
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclasses.dataclass(frozen=True)
class Coverage:
    """Documents whose present text has no vector are `missing`.

    `failed` of them can't have one; `waiting` ones are noted as pending, and have their turn.
    """

    documents: int
    missing: int
    failed: int
    waiting: int


async def of(conn: AsyncConnection, collection_id: UUID, index_id: int) -> Coverage:
    query = text(
        "SELECT (SELECT count(*) FROM documents WHERE collection_id = :collection), count(*),"
        " count(*) FILTER (WHERE EXISTS (SELECT 1 FROM pending p WHERE p.index_id = :index"
        "  AND p.doc_key = d.doc_key AND p.text_hash = d.text_hash AND p.error IS NOT NULL)),"
        " count(*) FILTER (WHERE EXISTS (SELECT 1 FROM pending p WHERE p.index_id = :index"
        "  AND p.doc_key = d.doc_key AND p.text_hash = d.text_hash AND p.error IS NULL))"
        " FROM documents d WHERE d.collection_id = :collection AND NOT EXISTS"
        f" (SELECT 1 FROM vectors_{index_id:d} v WHERE v.doc_key = d.doc_key"
        "  AND v.text_hash = d.text_hash)"
    )
    row = await conn.execute(query, {"collection": collection_id, "index": index_id})
    return Coverage(*row.one())
