"""How near given documents are to a query, wherever they would be ranked."""

from collections.abc import Collection
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import engine
from storage.indexes import IndexRow


async def of(
    conn: AsyncConnection,
    index: IndexRow,
    vector: NDArray[np.float32],
    doc_keys: Collection[UUID],
) -> dict[UUID, float]:
    """Cosine similarities by the best chunk, as a search gives them.

    Documents without vectors that count are left out.
    """
    connection = await engine.driver(conn)
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(
            f"SELECT v.doc_key, 1 - min(v.embedding <=> %s) FROM {index.table} v"
            " JOIN documents d ON d.doc_key = v.doc_key AND d.text_hash = v.text_hash"
            " WHERE v.doc_key = ANY(%s) GROUP BY v.doc_key",
            (HalfVector(vector), list(doc_keys)),
        )
        return {row[0]: row[1] for row in await cursor.fetchall()}
