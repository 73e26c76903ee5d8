"""Switching the index that searches use, forward or back, in one short fenced transaction."""

import asyncio
import dataclasses
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import structlog
from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from embedding.scheduling.queue import Urgency
from indexing.documents.backlog import Backlog
from migrations.reembed import errors
from migrations.reembed import migration as reembed
from migrations.reembed.migration import Migration
from storage import collections, fence, indexes, migrations, pending, replicas
from storage import engine as database
from storage.indexes import IndexRow

log = structlog.get_logger()

# The wait for writes in progress; only writes of many rows take longer.
_FIRST_WAIT_MS = 250
_MAX_WAIT_MS = 2000
_PAUSE_S = 0.05
_MISSING_AT_ONCE = 5000
_FEW = 32

Work = Callable[[AsyncConnection], Awaitable[None]]


@dataclasses.dataclass(frozen=True)
class Blocker:
    """Why an index can't serve searches yet; `is_permanent` if somebody has to act."""

    reason: str
    is_permanent: bool = False


async def catch_up(
    engine: AsyncEngine,
    backlog: Backlog,
    index: IndexRow,
    *,
    to_few: bool = False,
    until: float = math.inf,
) -> int:
    """Embed what the coverage query shows the index lacks; returns the number of documents.

    With `to_few`, stop when few are left, since every write adds another; `until` is by
    time.monotonic().
    """
    embedded = 0
    enough = _FEW if to_few else 1
    while True:
        while (done := (await backlog.embed_batch(index, Urgency.WRITE)).documents) >= enough:
            embedded += done
            if time.monotonic() > until:
                return embedded
        embedded += done
        async with engine.begin() as conn:
            missing = await pending.add_missing(
                conn, index.id, index.collection_id, _MISSING_AT_ONCE
            )
        if not missing:
            return embedded


async def find_blocker(
    conn: AsyncConnection, index: IndexRow, *, waive_failed: bool
) -> Blocker | None:
    """What keeps `index` from serving searches: pending texts, or a process without its model."""
    counts = await pending.counts(conn, index.id)
    if counts.failed and not waive_failed:
        examples = "; ".join(
            f"{id_}: {why}" for id_, why in await pending.failed(conn, index.id, 3)
        )
        return Blocker(
            f"{counts.failed:,} texts can't be embedded by {index.model_id} ({examples})",
            is_permanent=True,
        )
    if counts.waiting:
        return Blocker(f"{counts.waiting:,} texts are still to be embedded")
    unready = [
        replica.name
        for replica in await replicas.live(conn)
        if replica.serves and index.space_id not in replica.spaces
    ]
    if unready:
        return Blocker(f"{', '.join(unready)} has not loaded {index.model_id} yet")
    return None


async def read_coverage(engine: AsyncEngine, index: IndexRow) -> pending.IndexCoverage:
    async with engine.connect() as conn:
        return await pending.measure_coverage(conn, index.collection_id, index.id)


async def begin_cutting(
    engine: AsyncEngine,
    migration: Migration,
    *,
    epoch: int | None,
    why: str | None = None,
    options: Mapping[str, object] | None = None,
) -> None:
    """From now on every write embeds for both indexes, so that nothing can pile up.

    `options` are stored with the migration: what was waived or forced.
    """

    async def work(conn: AsyncConnection) -> None:
        if options:
            await migrations.set_options(conn, migration.id, options)
        await indexes.set_state(conn, migration.target_index.id, "cutting")
        await reembed.change_state(conn, migration, "cutting", epoch=epoch, why=why)

    await run_fenced(engine, work)


async def cut_over(engine: AsyncEngine, migration: Migration, *, epoch: int) -> Blocker | None:
    """Switch searches to the target and retain the source; returns what blocks it, if anything."""
    options = migration.options
    source, target = migration.source_index, migration.target_index
    blocker: Blocker | None = None

    async def work(conn: AsyncConnection) -> None:
        nonlocal blocker
        blocker = await find_blocker(conn, target, waive_failed=options.waive_failed)
        if blocker is not None:
            return
        await _switch(conn, migration, source, target)
        await indexes.set_state(conn, source.id, "retained")
        until = func.now() + timedelta(seconds=options.retain_s)
        await reembed.change_state(conn, migration, "soaking", epoch=epoch, retained_until=until)

    await run_fenced(engine, work)
    return blocker


async def roll_back(
    engine: AsyncEngine, migration: Migration, *, force: str | None, why: str
) -> None:
    """Switch searches back to the retained source, and retire the target.

    Raises RollbackRefused if the source lacks anything, TransitionRefused, LeaseLost.
    """
    source, target = migration.source_index, migration.target_index

    async def work(conn: AsyncConnection) -> None:
        blocker = await find_blocker(conn, source, waive_failed=force is not None)
        if blocker is not None:
            raise errors.RollbackRefused(blocker.reason)
        await _switch(conn, migration, target, source)
        await indexes.set_state(conn, target.id, "retired")
        await reembed.change_state(conn, migration, "rolled_back", why=why, retained_until=None)

    await run_fenced(engine, work)


async def _switch(
    conn: AsyncConnection, migration: Migration, active: IndexRow, successor: IndexRow
) -> None:
    if not await collections.switch_active(
        conn, migration.collection.id, from_index=active.id, to_index=successor.id
    ):
        raise errors.LeaseLost(f"index {active.id} is no longer the active one")
    await indexes.set_state(conn, successor.id, "active")


async def retire_source(engine: AsyncEngine, migration: Migration, *, why: str) -> None:
    """End the retention period, without waiting for searches: the sweeper drops the table later."""

    async def work(conn: AsyncConnection) -> None:
        await indexes.set_state(conn, migration.source_index.id, "retired")
        await reembed.change_state(conn, migration, "done", why=why, retained_until=None)

    await run_fenced(engine, work)


async def drop_target(engine: AsyncEngine, migration: Migration) -> None:
    """Cancel the migration; its target is retired, and the sweeper drops the table."""

    async def work(conn: AsyncConnection) -> None:
        await indexes.set_state(conn, migration.target_index.id, "retired")
        await collections.set_building(conn, migration.collection.id, None)
        await reembed.change_state(conn, migration, "cancelled")

    await run_fenced(engine, work)


async def run_fenced(engine: AsyncEngine, work: Work) -> None:
    """Run `work` in one transaction while no write is in progress.

    New writes queue behind it, so it waits only briefly for those in progress, then retries with
    a longer wait, so that steady long writes can't block it forever.
    """
    wait_ms = _FIRST_WAIT_MS
    while True:
        started = time.monotonic()
        try:
            async with engine.begin() as conn:
                await fence.close(conn, wait_ms=wait_ms)
                await work(conn)
        except database.FAILURES as error:
            if not database.is_conflict(error):
                raise
            wait_ms = min(2 * wait_ms, _MAX_WAIT_MS)
            log.info("fence_retried", next_wait_ms=wait_ms)
            await asyncio.sleep(_PAUSE_S)
        else:
            log.info("fence_held", ms=round(1e3 * (time.monotonic() - started), 1))
            return
