"""Who moves a migration on: one worker at a time, and what it tells where a step fails."""

import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from indexing.errors import ModelMissing
from migrations.reembed import errors, failures, lease, migration
from migrations.reembed.migration import Migration
from storage import engine as database
from storage import migrations

log = structlog.get_logger()


class Leader:
    """A worker as the leader of migrations, of each while it holds the lease."""

    def __init__(self, engine: AsyncEngine, owner: str) -> None:
        self._engine = engine
        self._owner = owner
        # Under which a step was ended by an error: another may lead by now.
        self._epochs: dict[UUID, int] = {}

    @contextlib.asynccontextmanager
    async def leading(self, found: Migration) -> AsyncIterator[int]:
        """Raises LeaseLost where another worker leads, or has moved it on."""
        self._epochs.pop(found.id, None)
        async with lease.leading(self._engine, found, self._owner) as epoch:
            if epoch is None:
                raise errors.LeaseLost(f"another worker leads {found.id}, or has moved it on")
            self._epochs[found.id] = epoch
            yield epoch
            del self._epochs[found.id]

    async def failed(self, found: Migration, error: Exception) -> None:
        """A step ended so: what was away for a moment is tried again; all else is told."""
        epoch = self._epochs.pop(found.id, None)
        reason = failures.reason(error)
        if failures.passes(error):
            log.info("migration_retried", migration=str(found.id), reason=reason[:300])
            if isinstance(error, ModelMissing) or database.is_gone(error):
                await self._wait_for(found, reason)
            return
        log.error("migration_failed", migration=str(found.id), reason=reason, exc_info=error)
        with contextlib.suppress(errors.LeaseLost):
            async with self._engine.begin() as conn:
                await migration.move(
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
                await migrations.note_waiting(conn, found.id, reason[:300])
