"""Leases held while something is done: renewed beside it, by the database's clock."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from migrations.reembed import errors
from migrations.reembed.migration import Migration
from storage import engine as database
from storage import migrations

log = structlog.get_logger()

# A worker that was killed holds others up for so long.
LEASE_S = 15.0
_RENEW_EVERY_S = 4.0
# The database was away: the lease should not end before it is renewed.
_AGAIN_S = 1.0

Renew = Callable[[AsyncConnection], Awaitable[bool]]


@contextlib.asynccontextmanager
async def renewed(engine: AsyncEngine, renew: Renew) -> AsyncIterator[None]:
    """Renew beside the block, which is ended where the lease became another's.

    Raises LeaseLost then. What is written in between is guarded by its epoch.
    """
    block = asyncio.current_task()
    assert block is not None, "leases are held by tasks"
    others = block.cancelling()
    ended = False

    async def work() -> None:
        nonlocal ended
        is_ours, pause_s = True, _RENEW_EVERY_S
        while is_ours:
            await asyncio.sleep(pause_s)
            pause_s = _RENEW_EVERY_S
            try:
                async with engine.begin() as conn:
                    is_ours = await renew(conn)
            except database.FAILURES as error:  # tried again; by then it may be another's
                pause_s = _AGAIN_S
                log.info("lease_not_renewed", reason=type(error).__name__)
        ended = True
        block.cancel()

    task = asyncio.create_task(work(), name="lease")
    try:
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    except asyncio.CancelledError as error:
        # As asyncio.timeout does: a cancellation by somebody else goes on.
        if ended and block.uncancel() <= others:
            raise errors.LeaseLost("the lease is another's, or it was ordered otherwise") from error
        raise


@contextlib.asynccontextmanager
async def leading(engine: AsyncEngine, found: Migration, owner: str) -> AsyncIterator[int | None]:
    """Be the one who moves a migration on: the epoch, or None where another is or has done it."""
    async with engine.begin() as conn:
        epoch = await migrations.claim(
            conn, found.id, state=found.state, owner=owner, lease_s=LEASE_S
        )
    if epoch is None:
        yield None
        return
    try:
        async with renewed(engine, lambda conn: migrations.renew(conn, found.id, epoch, LEASE_S)):
            yield epoch
    finally:
        with contextlib.suppress(*database.FAILURES):
            async with engine.begin() as conn:
                await migrations.release(conn, found.id, epoch)
