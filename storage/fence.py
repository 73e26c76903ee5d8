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
    await share(conn)
    return await indexes.live(conn, collection_id)


async def share(conn: AsyncConnection) -> None:
    """No live index changes until this transaction ends."""
    await conn.execute(_ENTER)


async def close(conn: AsyncConnection, *, wait_ms: int = 250) -> None:
    """Wait for the writes under way and hold back new ones until this transaction ends.

    LockNotAvailable after `wait_ms`, since all that time new ones wait behind.
    """
    await conn.execute(text(f"SET LOCAL lock_timeout = '{wait_ms:d}ms'"))
    await conn.execute(_CLOSE)
