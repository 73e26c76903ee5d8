"""Retries: the database was unavailable, another transaction won, an encoder was full."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from embedding.errors import Overloaded
from indexing import errors
from storage import engine

log = structlog.get_logger()

T = TypeVar("T")

# PostgreSQL recovers from a crash in seconds; a write waits for that, a search not so long.
WRITE_PATIENCE_S = 60.0
READ_PATIENCE_S = 4.0
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_ATTEMPTS = 10


async def reading(work: Callable[[], Awaitable[T]]) -> T:
    """Raises Busy if the database is unavailable for four seconds."""
    return await _retry(work, READ_PATIENCE_S)


async def writing(work: Callable[[], Awaitable[T]]) -> T:
    """Raises Busy if the database is unavailable for a minute.

    `work` is one whole transaction that may be repeated even if its COMMIT got through.
    """
    return await _retry(work, WRITE_PATIENCE_S)


async def _retry(work: Callable[[], Awaitable[T]], patience_s: float) -> T:
    give_up = time.monotonic() + patience_s
    pause = _FIRST_PAUSE_S
    while True:
        try:
            return await work()
        except engine.FAILURES as error:
            if not (engine.is_unavailable(error) or engine.is_conflict(error)):
                raise
            if time.monotonic() + pause > give_up:
                raise errors.Busy(_reason(error)) from error
            log.info("database_retry", reason=type(error).__name__, pause_s=round(pause, 2))
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
        pause = min(pause * 2, _LONGEST_PAUSE_S)


async def when_free(work: Callable[[], Awaitable[T]]) -> T:
    """Wait while the encoder is full, as long as it asks for; Overloaded after ten waits."""
    for _ in range(_ATTEMPTS):
        try:
            return await work()
        except Overloaded as error:
            await asyncio.sleep(error.retry_after_s)
    return await work()


def _reason(error: Exception) -> str:
    if engine.is_conflict(error):
        return "other transactions kept the rows locked; try again"
    return "the database can't be reached at the moment; try again in a few seconds"


async def read(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Read over a separate connection. Raises Busy if the database stays unavailable.

    As patient as a write: a verification takes a minute or more on a busy machine, and has to
    start again if it is interrupted.
    """

    async def attempt() -> T:
        async with engine.connect() as conn:
            return await work(conn)

    return await writing(attempt)
