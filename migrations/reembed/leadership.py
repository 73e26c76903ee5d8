"""Leases, renewed in the background while work runs, and the one worker that leads a migration.

Leases expire by the database's clock.
"""

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
from migrations.reembed import errors
from migrations.reembed import migration as reembed
from migrations.reembed.migration import Migration
from storage import engine as database
from storage import migrations
from storage.errors import IndexChanged

log = structlog.get_logger()

# Other workers wait this long for a worker that was killed.
LEASE_S = 15.0
_RENEW_EVERY_S = 4.0
# After a failed renewal: short, so that the lease does not expire first.
_RETRY_S = 1.0

Renew = Callable[[AsyncConnection], Awaitable[bool]]


@contextlib.asynccontextmanager
async def keep_lease(engine: AsyncEngine, renew: Renew) -> AsyncIterator[None]:
    """Renew a lease while the block runs; if it is lost, cancel the block and raise LeaseLost.

    Between two renewals the lease's epoch protects what is written.
    """
    block = asyncio.current_task()
    assert block is not None, "leases are held by tasks"
    cancellations_before = block.cancelling()
    is_lost = False

    async def renew_until_lost() -> None:
        nonlocal is_lost
        await _renew_until_lost(engine, renew)
        is_lost = True
        block.cancel()

    task = asyncio.create_task(renew_until_lost(), name="lease")
    try:
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    except asyncio.CancelledError as error:
        # As asyncio.timeout does: pass on a cancellation that isn't ours.
        if is_lost and block.uncancel() <= cancellations_before:
            raise errors.LeaseLost(
                "another worker took over the lease, or a command ended it"
            ) from error
        raise


async def _renew_until_lost(engine: AsyncEngine, renew: Renew) -> None:
    is_held, pause_s = True, _RENEW_EVERY_S
    while is_held:
        await asyncio.sleep(pause_s)
        pause_s = _RENEW_EVERY_S
        try:
            async with engine.begin() as conn:
                is_held = await renew(conn)
        except database.FAILURES as error:  # by the next try another may have taken it
            pause_s = _RETRY_S
            log.info("lease_not_renewed", reason=type(error).__name__)


@contextlib.asynccontextmanager
async def lead(engine: AsyncEngine, migration: Migration, owner: str) -> AsyncIterator[int | None]:
    """Lead a migration while the block runs, so that only `owner` changes its state.

    Yields the lease's epoch, or None if another worker leads or has changed the state.
    """
    async with engine.begin() as conn:
        epoch = await migrations.claim(
            conn, migration.id, state=migration.state, owner=owner, lease_s=LEASE_S
        )
    if epoch is None:
        yield None
        return

    async def renew(conn: AsyncConnection) -> bool:
        return await migrations.renew(conn, migration.id, epoch, LEASE_S)

    try:
        async with keep_lease(engine, renew):
            yield epoch
    finally:
        with contextlib.suppress(*database.FAILURES):
            async with engine.begin() as conn:
                await migrations.release(conn, migration.id, epoch)


_TRANSIENT = (indexing.Busy, indexing.ModelMissing, Overloaded, EncoderDied, IndexChanged)


def is_transient(error: Exception) -> bool:
    """Whether to try again: something was unavailable or full, or another worker was faster.

    That includes a missing model: another worker may have it.
    """
    return (
        isinstance(error, _TRANSIENT)
        or database.is_unavailable(error)
        or database.is_conflict(error)
        or database.is_gone(error)
    )


def failure_reason(error: Exception) -> str:
    """What happened and, if known, what to do."""
    if isinstance(error, indexing.IndexingError | EmbeddingError | errors.MigrationError):
        return str(error)
    if isinstance(error, DBAPIError):
        return _database_reason(error)
    return f"{type(error).__name__}: {error}"


def _database_reason(error: DBAPIError) -> str:
    message = str(error.orig).strip()
    if isinstance(error.orig, psycopg.errors.DiskFull) and "shared memory" in message:
        return (
            f"too little shared memory for the HNSW build ({message}): give the container more "
            "(`--shm-size 1g`) and resume"
        )
    if isinstance(error.orig, psycopg.errors.DiskFull):
        return f"the disk is full ({message}): free some space and resume"
    return message


class Leader:
    """Leads migrations on behalf of one worker, each while it holds the migration's lease."""

    def __init__(self, engine: AsyncEngine, owner: str) -> None:
        self._engine = engine
        self._owner = owner
        # Of steps that ended with an error: by now another worker may lead.
        self._epochs: dict[UUID, int] = {}

    @contextlib.asynccontextmanager
    async def lead(self, migration: Migration) -> AsyncIterator[int]:
        """Raises LeaseLost if another worker leads the migration, or has changed its state."""
        self._epochs.pop(migration.id, None)
        async with lead(self._engine, migration, self._owner) as epoch:
            if epoch is None:
                raise errors.LeaseLost(
                    f"another worker leads migration {migration.id}, or has changed its state"
                )
            self._epochs[migration.id] = epoch
            yield epoch
            del self._epochs[migration.id]

    async def handle_failure(self, migration: Migration, error: Exception) -> None:
        """After a step that raised `error`: leave it to be tried again, or fail the migration."""
        epoch = self._epochs.pop(migration.id, None)
        reason = failure_reason(error)
        if is_transient(error):
            log.info("migration_retried", migration=str(migration.id), reason=reason[:300])
            if isinstance(error, ModelMissing) or database.is_gone(error):
                await self._record_waiting(migration, reason)
            return
        log.error("migration_failed", migration=str(migration.id), reason=reason, exc_info=error)
        with contextlib.suppress(errors.LeaseLost):
            async with self._engine.begin() as conn:
                await reembed.change_state(
                    conn,
                    migration,
                    "failed",
                    epoch=epoch,
                    why=reason[:500],
                    resume_state=migration.state,
                    error=reason[:2000],
                )

    async def _record_waiting(self, migration: Migration, reason: str) -> None:
        """Shown in the status, since it may not recover without help."""
        with contextlib.suppress(*database.FAILURES):
            async with self._engine.begin() as conn:
                await migrations.record_waiting(conn, migration.id, reason[:300])
