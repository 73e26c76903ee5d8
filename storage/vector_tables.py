"""The tables that hold the vectors of an index, one each: named, created and dropped here."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# A larger vector does not fit on a page with the rest of its row; out of line, an exact scan is
# much slower.
MAX_INLINE_DIMENSIONS = 3900


def name(index_id: int) -> str:
    return f"vectors_{index_id:d}"


async def create(conn: AsyncConnection, index_id: int, *, dimensions: int, space_id: int) -> None:
    """The CHECK makes it impossible to store a vector of another space.

    There is no foreign key: with one to `documents`, every drop would lock `documents` exclusively.
    """
    await conn.execute(
        text(
            f"CREATE TABLE {name(index_id)} ("
            "doc_key uuid NOT NULL, chunk_no integer NOT NULL, text_hash bytea NOT NULL,"
            f" space_id smallint NOT NULL CHECK (space_id = {space_id:d}),"
            " char_start integer NOT NULL, char_end integer NOT NULL,"
            f" token_count integer NOT NULL, embedding halfvec({dimensions:d}) NOT NULL,"
            " PRIMARY KEY (doc_key, chunk_no))"
            " WITH (autovacuum_vacuum_scale_factor = 0.05)"
        )
    )
    if dimensions <= MAX_INLINE_DIMENSIONS:
        await conn.execute(
            text(f"ALTER TABLE {name(index_id)} ALTER COLUMN embedding SET STORAGE PLAIN")
        )


async def drop(conn: AsyncConnection, index_id: int) -> None:
    """Drop a retired index's table. Raises LockNotAvailable if a search is still reading it."""
    await conn.execute(text("SET LOCAL lock_timeout = '250ms'"))
    await conn.execute(text(f"DROP TABLE IF EXISTS {name(index_id)}"))
