"""Leases held while something is done: renewed beside it, by the database's clock."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import psycopg
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from embedding.errors import EmbeddingError, EncoderDied, Overloaded
from indexing import errors as indexing
from indexing.errors import ModelMissing
from migrations.reembed import errors, migration
from migrations.reembed.migration import Migration
from storage import engine as database
from storage import migrations
from storage.errors import IndexChanged

log = structlog.get_logger()

# A worker that was killed holds others up for so long.
LEASE_S = 15.0
_RENEW_EVERY_S = 4.0
# The database was away: the lease should not end before it is renewed.
_AGAIN_S = 1.0

Renew = Callable[[AsyncConnection], Awaitable[bool]]


@contextlib.asynccontextmanager
async def keep_lease(engine: AsyncEngine, renew: Renew) -> AsyncIterator[None]:
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
async def lead(engine: AsyncEngine, found: Migration, owner: str) -> AsyncIterator[int | None]:
    """Be the one who moves a migration on: the epoch, or None where another is or has done it."""
    async with engine.begin() as conn:
        epoch = await migrations.claim(
            conn, found.id, state=found.state, owner=owner, lease_s=LEASE_S
        )
    if epoch is None:
        yield None
        return
    try:
        async with keep_lease(
            engine, lambda conn: migrations.renew(conn, found.id, epoch, LEASE_S)
        ):
            yield epoch
    finally:
        with contextlib.suppress(*database.FAILURES):
            async with engine.begin() as conn:
                await migrations.release(conn, found.id, epoch)


_PASSING = (indexing.Busy, indexing.ModelMissing, Overloaded, EncoderDied, IndexChanged)


def is_transient(error: Exception) -> bool:
    """What is tried again: something was away or full for a moment, or another won.

    Another worker may have the model that this one lost.
    """
    return (
        isinstance(error, _PASSING)
        or database.is_unavailable(error)
        or database.is_conflict(error)
        or database.is_gone(error)
    )


def failure_reason(error: Exception) -> str:
    """What happened, and what to do."""
    if isinstance(error, indexing.IndexingError | EmbeddingError | errors.MigrationError):
        return str(error)
    if isinstance(error, DBAPIError):
        return _of_database(error)
    return f"{type(error).__name__}: {error}"


def _of_database(error: DBAPIError) -> str:
    said = str(error.orig).strip()
    if isinstance(error.orig, psycopg.errors.DiskFull) and "shared memory" in said:
        return (
            f"too little shared memory for the HNSW build ({said}): give the container more "
            "(`--shm-size 1g`), then resume"
        )
    if isinstance(error.orig, psycopg.errors.DiskFull):
        return f"the disk is full ({said}): free some space, then resume"
    return said


class Leader:
    """A worker as the leader of migrations, of each while it holds the lease."""

    def __init__(self, engine: AsyncEngine, owner: str) -> None:
        self._engine = engine
        self._owner = owner
        # Under which a step was ended by an error: another may lead by now.
        self._epochs: dict[UUID, int] = {}

    @contextlib.asynccontextmanager
    async def lead(self, found: Migration) -> AsyncIterator[int]:
        """Raises LeaseLost where another worker leads, or has moved it on."""
        self._epochs.pop(found.id, None)
        async with lead(self._engine, found, self._owner) as epoch:
            if epoch is None:
                raise errors.LeaseLost(f"another worker leads {found.id}, or has moved it on")
            self._epochs[found.id] = epoch
            yield epoch
            del self._epochs[found.id]

    async def handle_failure(self, found: Migration, error: Exception) -> None:
        """A step ended so: what was away for a moment is tried again; all else is told."""
        epoch = self._epochs.pop(found.id, None)
        reason = failure_reason(error)
        if is_transient(error):
            log.info("migration_retried", migration=str(found.id), reason=reason[:300])
            if isinstance(error, ModelMissing) or database.is_gone(error):
                await self._wait_for(found, reason)
            return
        log.error("migration_failed", migration=str(found.id), reason=reason, exc_info=error)
        with contextlib.suppress(errors.LeaseLost):
            async with self._engine.begin() as conn:
                await migration.change_state(
                    conn,
                    found,
                    "failed",
                    epoch=epoch,
                    why=reason[:500],
                    resume_state=found.state,
                    error=reason[:2000],
                )

    async def _wait_for(self, found: Migration, reason: str) -> None:
        """It may not come back by itself, so people are told."""
        with contextlib.suppress(*database.FAILURES):
            async with self._engine.begin() as conn:
                await migrations.record_waiting(conn, found.id, reason[:300])
