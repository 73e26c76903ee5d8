"""The fence that separates writes from changes of a collection's live indexes."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import indexes

_ENTER = text("LOCK TABLE write_fence IN ROW SHARE MODE")
_CLOSE = text("LOCK TABLE write_fence IN EXCLUSIVE MODE")


async def enter(conn: AsyncConnection, collection_id: UUID) -> list[indexes.IndexRow]:
    """Begin a write: the collection's live indexes, which stay so until this transaction ends.

    Empty if the collection is gone. A table lock, not a row lock FOR SHARE, with which steady
    writers starve whoever changes the indexes (measured).
    """
    await share(conn)
    return await indexes.live(conn, collection_id)


async def share(conn: AsyncConnection) -> None:
    """Keep every live index unchanged until this transaction ends."""
    await conn.execute(_ENTER)


async def close(conn: AsyncConnection, *, wait_ms: int = 250) -> None:
    """Wait for writes in progress and hold back new ones until this transaction ends.

    Raises LockNotAvailable after `wait_ms`, because new writes wait all that time.
    """
    await conn.execute(text(f"SET LOCAL lock_timeout = '{wait_ms:d}ms'"))
    await conn.execute(_CLOSE)
