"""A collection moves to another space of equal dimensions and back without mixing or loss."""

import asyncio
import itertools
import uuid

import pytest
import structlog.testing

from api.schemas.common import ChunkingOptions
from api.schemas.migrations import NewMigration, NotNeeded
from api.service import Service
from api.services import migrations
from indexing.errors import SpaceMismatch
from indexing.searcher import SearchQuery
from migrations.reembed import errors
from migrations.reembed.commands import MigrationCommands
from storage import documents, pending, pending_leases, replicas, vectors
from storage.replicas import ReplicaRow
from tests.integration.conftest import write
from tests.integration.migrations.conftest import OTHER
from tests.integration.migrations.moving import NAME, lacking, look, reach, sql, start


def texts(count: int, prefix: str = "d") -> dict[str, str]:
    return {f"{prefix}{no}": f"boat number {no} on the lake" for no in range(count)}


async def space(service: Service, query: str = "boat") -> tuple[str, int]:
    answer = await service.searcher.by_text(NAME, query, SearchQuery(exact=True))
    return answer.collection.active.fingerprint, answer.collection.active.id


async def test_a_collection_moves_and_rolls_back(service: Service):
    await write(service, texts(300))
    old = await space(service)
    migration = await reach(service, await start(service, OTHER), "soaking")
    new = await space(service)
    assert new[0] != old[0]
    assert new[1] == migration.target_index.id
    assert await lacking(service, migration.target_index.id) == []
    # What is written now goes into both indexes, so that a rollback loses nothing.
    await write(service, {"later": "a loaf of bread", "d3": "a hawk over the hill"})
    await service.indexer.remove(NAME, "d4")
    assert await lacking(service, migration.source_index.id) == []
    drained = await service.commands.roll_back(migration, force=None)
    assert drained == 0
    assert await space(service) == old
    answer = await service.searcher.by_text(
        NAME, "a hawk over the hill", SearchQuery(exact=True, limit=1)
    )
    assert [hit.id for hit in answer.nearest.hits] == ["d3"]
    assert (await look(service, migration.id)).state == "rolled_back"


async def test_a_rollback_waits_for_a_dead_workers_lease_without_blocking_writes(idle: Service):
    """What it was embedding for the old index is embedded after its lease expires."""
    await write(idle, texts(20))
    running = asyncio.create_task(worker_of(idle).run())
    migration = await reach(idle, await start(idle, OTHER), "soaking")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    async with idle.engine.begin() as conn:
        hashes = await documents.lock(conn, [documents.key(migration.collection.id, "d1")])
        await vectors.remove(conn, migration.source_index.id, list(hashes))
        await pending.add(conn, migration.source_index.id, hashes)
        assert await pending_leases.claim(
            conn, migration.source_index.id, owner="dead", limit=9, lease_s=3
        )
    with structlog.testing.capture_logs() as logged:
        drained = await idle.commands.roll_back(migration, force=None)
    assert drained == 1
    assert [entry["event"] for entry in logged].count("fence_held") == 1
    assert await lacking(idle, migration.source_index.id) == []


async def test_a_rollback_gives_up_if_a_process_lacks_the_old_model(service: Service):
    await write(service, texts(20))
    migration = await reach(service, await start(service, OTHER), "soaking")
    new = await space(service)
    hasty = MigrationCommands(
        service.engine, service.models, service.backlog, service.sweeper.wake, drain_s=0.5
    )
    elsewhere = ReplicaRow(uuid.uuid4(), "elsewhere", True, [migration.target_index.space_id], {})
    async with service.engine.begin() as conn:
        await replicas.heartbeat(conn, elsewhere, 600)
    with pytest.raises(errors.RollbackRefused, match="nothing was switched yet: elsewhere has not"):
        async with asyncio.timeout(50):  # without `drain_s` it would wait for a minute
            await hasty.roll_back(migration, force=None)
    assert await space(service) == new
    assert (await look(service, migration.id)).state == "soaking"
    async with service.engine.begin() as conn:
        await replicas.unregister(conn, elsewhere.id)
    await hasty.roll_back(migration, force=None)
    assert (await look(service, migration.id)).state == "rolled_back"


async def test_a_demanded_space_is_refused_after_the_cutover(service: Service):
    await write(service, texts(20))
    old, _ = await space(service)
    await reach(service, await start(service, OTHER), "soaking")
    with pytest.raises(SpaceMismatch):
        await service.searcher.by_text(NAME, "boat", SearchQuery(expect_space=old))


async def test_no_row_of_one_space_gets_into_the_table_of_the_other(service: Service):
    await write(service, texts(50))
    migration = await reach(service, await start(service, OTHER), "soaking")
    await write(service, texts(80))
    for index in (migration.source_index, migration.target_index):
        rows = await sql(service, f"SELECT DISTINCT space_id FROM {index.table}")
        assert rows == [(index.space_id,)]


async def test_writes_during_the_backfill_end_up_right(idle: Service):
    """Changes, deletions and new documents before, during and after their range is embedded."""
    await write(idle, texts(400))
    migration = await start(idle, OTHER)
    await write(idle, {"d1": "a loaf of bread", "new": "a violin"})
    await idle.indexer.remove(NAME, "d2")
    stop = asyncio.Event()

    async def churn() -> None:
        for no in itertools.count():
            if stop.is_set():
                return
            await write(idle, {f"d{no % 40}": f"text {no} of a document that changes"})
            await idle.indexer.remove(NAME, f"d{no % 40}")
            await write(idle, {f"d{no % 40}": f"and again {no}"})

    worker = worker_of(idle)
    churning = asyncio.create_task(churn())
    running = asyncio.create_task(worker.run())
    try:
        migration = await reach(idle, migration, "soaking")
    finally:
        stop.set()
        await churning
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert await lacking(idle, migration.target_index.id) == []
    assert await lacking(idle, migration.source_index.id) == []


def worker_of(service: Service):
    """A worker beside the service, as `vecmark worker` runs it."""
    from indexing.hnsw.builder import HnswBuilder
    from migrations.reembed.worker import MigrationWorker

    return MigrationWorker(
        service.engine,
        service.models,
        backlog=service.backlog,
        builder=HnswBuilder(service.engine, service.models, target_recall=0.95, workers=0),
        replica=service.replica,
        hnsw_min_rows=service.settings.hnsw_min_rows,
        on_retired=service.sweeper.wake,
    )


async def test_the_same_space_and_chunks_need_nothing(service: Service):
    await write(service, texts(5))
    result = await migrations.start(service, NAME, NewMigration(model=service.settings.model))
    assert isinstance(result, NotNeeded)
    assert result.change == "none"
    assert await sql(service, "SELECT count(*) FROM migrations") == [(0,)]


async def test_other_chunks_in_the_same_space_are_a_migration(service: Service):
    long = " ".join(f"Sentence number {no} is about a boat." for no in range(40))
    await write(service, {"long": long, **texts(5)})
    migration = await start(service, service.settings.model, chunking=ChunkingOptions(size=64))
    migration = await reach(service, migration, "soaking")
    assert migration.target_index.space_id == migration.source_index.space_id
    source, target = migration.source_index.table, migration.target_index.table
    more = f"(SELECT count(*) FROM {target}) > (SELECT count(*) FROM {source})"
    assert await sql(service, f"SELECT {more}") == [(True,)]


async def test_a_second_migration_is_refused_and_named(idle: Service):
    first = await start(idle, OTHER)
    with pytest.raises(errors.MigrationRunning, match=str(first.id)):
        await migrations.start(idle, NAME, NewMigration(model=OTHER))


async def test_of_four_starts_at_once_one_succeeds(idle: Service):
    results = await asyncio.gather(
        *(migrations.start(idle, NAME, NewMigration(model=OTHER)) for _ in range(4)),
        return_exceptions=True,
    )
    refused = [result for result in results if isinstance(result, errors.MigrationRunning)]
    assert len(refused) == 3, results
    # The refused starts left no table.
    tables = await sql(service=idle, query="SELECT count(*) FROM indexes WHERE state = 'building'")
    assert tables == [(1,)]


async def test_cancel_leaves_everything_as_it_was(idle: Service):
    await write(idle, texts(30))
    old = await space(idle)
    migration = await start(idle, OTHER)
    await idle.commands.cancel(migration)
    assert (await look(idle, migration.id)).state == "cancelled"
    assert await space(idle) == old
    await idle.sweeper.sweep()
    assert await sql(idle, f"SELECT to_regclass('{migration.target_index.table}')") == [(None,)]
    again = await start(idle, OTHER)
    assert again.id != migration.id


async def test_a_retired_index_is_dropped_and_there_is_no_rollback(service: Service):
    await write(service, texts(30))
    migration = await reach(service, await start(service, OTHER), "soaking")
    await service.commands.retire(migration)
    done = await look(service, migration.id)
    assert done.state == "done"
    with pytest.raises(errors.TransitionRefused):
        await service.commands.roll_back(done, force=None)
    await service.sweeper.sweep()
    assert await sql(service, f"SELECT to_regclass('{migration.source_index.table}')") == [(None,)]
    assert await space(service) == (migration.target_index.fingerprint, migration.target_index.id)


async def test_the_retention_period_ends_by_itself(service: Service):
    await write(service, texts(10))
    migration = await start(service, OTHER, retain="0s")
    assert (await reach(service, migration, "done")).state == "done"


async def test_paused_does_nothing_until_it_is_resumed(idle: Service):
    await write(idle, texts(100))
    migration = await start(idle, OTHER)
    await idle.commands.pause(migration)
    worker = worker_of(idle)
    await worker.tick()
    paused = await look(idle, migration.id)
    assert (paused.state, paused.resume_state) == ("paused", "planned")
    await idle.commands.resume(paused)
    running = asyncio.create_task(worker.run())
    assert (await reach(idle, migration, "soaking")).state == "soaking"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_manual_cutover_waits(service: Service):
    await write(service, texts(20))
    old = await space(service)
    migration = await reach(service, await start(service, OTHER, manual=True), "ready")
    assert await space(service) == old
    await service.commands.cut_over(migration, force=None, waive_failed=False)
    await reach(service, migration, "soaking")
    assert await space(service) != old
