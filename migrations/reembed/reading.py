"""What a worker reads of the database beside the transactions that it writes in."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from indexing import retries

T = TypeVar("T")


async def read(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """By a connection of its own. Raises Busy where the database stays away.

    As patient as a write, as long as no other worker takes the lease meanwhile: a verification
    takes a minute or more on a busy machine, and begins anew where it is broken off.
    """

    async def once() -> T:
        async with engine.connect() as conn:
            return await work(conn)

    return await retries.writing(once)
