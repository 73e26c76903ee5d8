"""What writing a vector costs on this database, measured in a table that is rolled back."""

import dataclasses
import time
import uuid
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import vector_tables, vectors

# Not the id of any index: those start at 1.
_INDEX_ID = 0
# The share of the rows over which the HNSW index is built; the rest are inserted into it.
_BUILT_SHARE = 0.75
_ROUND_TRIPS = 10
_BUILD = text(
    f"CREATE INDEX ON {vector_tables.name(_INDEX_ID)} USING hnsw (embedding halfvec_cosine_ops)"
    f" WITH (m = {vectors.M}, ef_construction = {vectors.EF_CONSTRUCTION})"
)


@dataclasses.dataclass(frozen=True)
class WriteCost:
    """Seconds per row: to copy it into a bare table, to build HNSW over it, to insert it into HNSW.

    The last two are None without HNSW. Both grow with the table; this one had `rows`.
    `round_trip_s` is the minimum for any statement.
    """

    round_trip_s: float
    copy_s: float
    build_s: float | None
    insert_s: float | None
    rows: int


async def measure(
    conn: AsyncConnection, embeddings: NDArray[np.float32], *, space_id: int, with_hnsw: bool
) -> WriteCost:
    """Write `embeddings`, at least 8 different unit vectors (rows, dimensions).

    The caller rolls back.
    """
    rows = [_row(vector, space_id) for vector in embeddings]
    built = rows[: int(_BUILT_SHARE * len(rows))]
    await vector_tables.create(conn, _INDEX_ID, dimensions=embeddings.shape[1], space_id=space_id)
    round_trip_s = await _time_round_trip(conn)
    copy_s = await _time_copy(conn, built)
    if not with_hnsw:
        return WriteCost(round_trip_s, copy_s, None, None, len(built))
    started = time.perf_counter()
    await conn.execute(_BUILD)
    build_s = (time.perf_counter() - started) / len(built)
    insert_s = await _time_copy(conn, rows[len(built) :])
    return WriteCost(round_trip_s, copy_s, build_s, insert_s, len(built))


async def _time_round_trip(conn: AsyncConnection) -> float:
    started = time.perf_counter()
    for _ in range(_ROUND_TRIPS):
        await conn.execute(text("SELECT 1"))
    return (time.perf_counter() - started) / _ROUND_TRIPS


async def _time_copy(conn: AsyncConnection, rows: Sequence[vectors.VectorRow]) -> float:
    started = time.perf_counter()
    await vectors.copy_in(conn, _INDEX_ID, rows)
    return (time.perf_counter() - started) / len(rows)


def _row(vector: NDArray[np.float32], space_id: int) -> vectors.VectorRow:
    return vectors.VectorRow(
        doc_key=uuid.uuid4(),
        chunk_no=0,
        text_hash=bytes(16),
        space_id=space_id,
        char_start=0,
        char_end=0,
        token_count=0,
        embedding=vector,
    )
