"""The flip: which index answers changes in one short transaction, forwards or back."""

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
from migrations.reembed import errors, migration
from migrations.reembed.migration import Migration
from storage import collections, fence, indexes, migrations, pending, replicas
from storage import engine as database
from storage.indexes import IndexRow

log = structlog.get_logger()

# Writes that are under way take longer than this only where they hold many rows.
_FIRST_WAIT_MS = 250
_LONGEST_WAIT_MS = 2000
_NOTE_AT_ONCE = 5000
_FEW = 32
_PAUSE_S = 0.05

Work = Callable[[AsyncConnection], Awaitable[None]]


@dataclasses.dataclass(frozen=True)
class Blocker:
    """Why the flip can't be made yet; `failed`: it never will without somebody's help."""

    reason: str
    failed: bool = False


async def catch_up(
    engine: AsyncEngine,
    backlog: Backlog,
    index: IndexRow,
    *,
    to_few: bool = False,
    until: float = math.inf,
) -> int:
    """Embed what the index lacks, found by the coverage query; how many documents there were.

    `to_few`: until there are few, where every write brings another; `until` by time.monotonic().
    """
    worked = 0
    least = _FEW if to_few else 1
    while True:
        while (done := (await backlog.work_off(index, Urgency.WRITE)).documents) >= least:
            worked += done
            if time.monotonic() > until:
                return worked
        worked += done
        async with engine.begin() as conn:
            noted = await pending.add_missing(conn, index.id, index.collection_id, _NOTE_AT_ONCE)
        if not noted:
            return worked


async def find_blocker(
    conn: AsyncConnection, index: IndexRow, *, waive_failed: bool
) -> Blocker | None:
    """What keeps `index` from answering now: pending texts, or a process without its model."""
    counts = await pending.counts(conn, index.id)
    if counts.failed and not waive_failed:
        named = await pending.failed(conn, index.id, 3)
        shown = "; ".join(f"{id_}: {why}" for id_, why in named)
        return Blocker(
            f"{counts.failed:,} texts can't be embedded by {index.model_id} ({shown})", failed=True
        )
    if counts.waiting:
        return Blocker(f"{counts.waiting:,} texts are still to be embedded")
    lacking = [
        one.name
        for one in await replicas.live(conn)
        if one.serves and index.space_id not in one.spaces
    ]
    if lacking:
        return Blocker(f"{', '.join(lacking)} has not loaded {index.model_id} yet")
    return None


async def read_coverage(engine: AsyncEngine, index: IndexRow) -> pending.IndexCoverage:
    async with engine.connect() as conn:
        return await pending.measure_coverage(conn, index.collection_id, index.id)


async def begin_cutting(
    engine: AsyncEngine,
    found: Migration,
    *,
    epoch: int | None,
    why: str | None = None,
    options: Mapping[str, object] | None = None,
) -> None:
    """From now on every write embeds for both indexes, so that nothing can pile up.

    `options`: what was waived or forced for it.
    """

    async def work(conn: AsyncConnection) -> None:
        if options:
            await migrations.set_options(conn, found.id, options)
        await indexes.set_state(conn, found.target_index.id, "cutting")
        await migration.change_state(conn, found, "cutting", epoch=epoch, why=why)

    await run_fenced(engine, work)


async def cut_over(engine: AsyncEngine, found: Migration, *, epoch: int) -> Blocker | None:
    """Forwards: the target answers, the source is retained. What hinders it, if anything does."""
    options = found.options
    hinders: list[Blocker] = []

    async def work(conn: AsyncConnection) -> None:
        hinders.clear()
        hinder = await find_blocker(conn, found.target_index, waive_failed=options.waive_failed)
        if hinder is not None:
            hinders.append(hinder)
            return
        await _switch(conn, found, frm=found.source_index, to=found.target_index)
        await indexes.set_state(conn, found.source_index.id, "retained")
        until = func.now() + timedelta(seconds=options.retain_s)
        await migration.change_state(conn, found, "soaking", epoch=epoch, retained_until=until)

    await run_fenced(engine, work)
    return hinders[0] if hinders else None


async def roll_back(engine: AsyncEngine, found: Migration, *, force: str | None, why: str) -> None:
    """Backwards: the retained source answers again, the target is retired.

    Raises RollbackRefused where the source lacks anything, TransitionRefused, LeaseLost.
    """

    async def work(conn: AsyncConnection) -> None:
        hinder = await find_blocker(conn, found.source_index, waive_failed=force is not None)
        if hinder is not None:
            raise errors.RollbackRefused(hinder.reason)
        await _switch(conn, found, frm=found.target_index, to=found.source_index)
        await indexes.set_state(conn, found.target_index.id, "retired")
        await migration.change_state(conn, found, "rolled_back", why=why, retained_until=None)

    await run_fenced(engine, work)


async def _switch(conn: AsyncConnection, found: Migration, *, frm: IndexRow, to: IndexRow) -> None:
    if not await collections.switch_active(
        conn, found.collection.id, from_index=frm.id, to_index=to.id
    ):
        raise errors.LeaseLost(f"the index {frm.id} is not the active one any more")
    await indexes.set_state(conn, to.id, "active")


async def retire_source(engine: AsyncEngine, found: Migration, *, why: str) -> None:
    """The time of grace is over: the sweeper drops the table, no search is waited for."""

    async def work(conn: AsyncConnection) -> None:
        await indexes.set_state(conn, found.source_index.id, "retired")
        await migration.change_state(conn, found, "done", why=why, retained_until=None)

    await run_fenced(engine, work)


async def drop_target(engine: AsyncEngine, found: Migration) -> None:
    async def work(conn: AsyncConnection) -> None:
        await indexes.set_state(conn, found.target_index.id, "retired")
        await collections.set_building(conn, found.collection.id, None)
        await migration.change_state(conn, found, "cancelled")

    await run_fenced(engine, work)


async def run_fenced(engine: AsyncEngine, work: Work) -> None:
    """One transaction while no write is under way; a little more patient every time.

    Writers that come meanwhile wait behind it, so the wait for those under way is short, and it
    grows, so that steady long writes can't keep it off for ever.
    """
    wait_ms = _FIRST_WAIT_MS
    while True:
        begun = time.monotonic()
        try:
            async with engine.begin() as conn:
                await fence.close(conn, wait_ms=wait_ms)
                await work(conn)
        except database.FAILURES as error:
            if not database.is_conflict(error):
                raise
            wait_ms = min(2 * wait_ms, _LONGEST_WAIT_MS)
            log.info("fence_retried", next_wait_ms=wait_ms)
            await asyncio.sleep(_PAUSE_S)
        else:
            log.info("fence_held", ms=round(1e3 * (time.monotonic() - begun), 1))
            return
