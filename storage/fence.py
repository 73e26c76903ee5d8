"""The fence between writes and a change of a collection's live indexes."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import indexes

_ENTER = text("LOCK TABLE write_fence IN ROW SHARE MODE")
_CLOSE = text("LOCK TABLE write_fence IN EXCLUSIVE MODE")


async def enter(conn: AsyncConnection, collection_id: UUID) -> list[indexes.IndexRow]:
    """Begin a write: the collection's live indexes as they stay until this transaction ends.

    Empty where the collection is gone. A table lock, not a row lock FOR SHARE: steady writers
    would starve the one who changes the indexes (measured).
    """
    await conn.execute(_ENTER)
    return await indexes.live(conn, collection_id)


async def close(conn: AsyncConnection) -> None:
    """Wait for the writes under way and hold back new ones until this transaction ends."""
    await conn.execute(text("SET LOCAL lock_timeout = '250ms'"))
    await conn.execute(_CLOSE)
