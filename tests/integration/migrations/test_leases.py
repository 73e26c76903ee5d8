"""Workers that are late, suspended or killed: what they write counts only with a valid lease."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import structlog.testing
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api.service import Service
from indexing.catalog import chunking_of
from indexing.documents import text_vectors
from migrations.reembed import errors, leadership, status
from migrations.reembed import migration as reembed
from migrations.reembed.migration import Migration
from storage import fence, migration_ranges, migrations, pending
from storage.indexes import IndexRow
from storage.migration_ranges import Range, SourceDocument
from tests.integration.conftest import write
from tests.integration.migrations.conftest import OTHER
from tests.integration.migrations.moving import lacking, look, reach, sql, start
from tests.integration.migrations.test_moving import texts, worker_of


@pytest.fixture
async def migration(idle: Service) -> Migration:
    """A migration of sixty documents in its backfill, without a worker."""
    await write(idle, texts(60))
    migration = await start(idle, OTHER)
    async with idle.engine.begin() as conn:
        await migration_ranges.create(conn, migration.id, 1)
        await reembed.change_state(conn, migration, "backfilling")
    return await look(idle, migration.id)


@contextlib.asynccontextmanager
async def working(service: Service) -> AsyncIterator[None]:
    """A worker, during the block."""
    running = asyncio.create_task(worker_of(service).run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def claim(service: Service, migration: Migration, owner: str, lease_s: float) -> Range:
    async with service.engine.begin() as conn:
        claimed = await migration_ranges.claim(conn, migration.id, owner=owner, lease_s=lease_s)
    assert claimed is not None
    return claimed


async def read(service: Service, migration: Migration, claimed: Range) -> list[SourceDocument]:
    async with service.engine.connect() as conn:
        return await migration_ranges.next_documents(
            conn,
            claimed,
            collection_id=migration.collection.id,
            index_id=migration.target_index.id,
            after=None,
            limit=100,
            max_bytes=10**6,
        )


async def encode(
    service: Service, index: IndexRow, sources: list[SourceDocument]
) -> list[text_vectors.WrittenVectors]:
    with service.models.for_index(index) as loaded:
        done = await text_vectors.embed_texts(
            loaded, [source.text for source in sources], chunking_of(index)
        )
    return [
        text_vectors.WrittenVectors(source.doc_key, source.text_hash, vectors)
        for source, vectors in zip(sources, done, strict=True)
    ]


async def put(
    service: Service,
    migration: Migration,
    claimed: Range,
    embedded: list[text_vectors.WrittenVectors],
) -> int:
    async with service.engine.begin() as conn:
        await fence.enter(conn, migration.collection.id)
        written = await text_vectors.write_texts(conn, migration.target_index, embedded)
        if not await migration_ranges.record_progress(
            conn, claimed, documents=len(written), chunks=len(written)
        ):
            raise errors.LeaseLost(str(claimed.no))
    return len(written)


async def test_a_worker_whose_range_was_taken_over_writes_nothing(
    idle: Service, migration: Migration
):
    slow = await claim(idle, migration, "slow", lease_s=-1)
    embedded = await encode(idle, migration.target_index, await read(idle, migration, slow))
    quick = await claim(idle, migration, "quick", lease_s=60)
    assert quick.no == slow.no
    with pytest.raises(errors.LeaseLost):
        await put(idle, migration, slow, embedded)
    assert await sql(idle, f"SELECT count(*) FROM {migration.target_index.table}") == [(0,)]
    assert await put(idle, migration, quick, embedded) == 60


async def test_a_range_is_never_leased_twice(idle: Service, migration: Migration):
    async with idle.engine.begin() as first, idle.engine.begin() as second:
        assert await migration_ranges.claim(first, migration.id, owner="a", lease_s=60) is not None
        assert await migration_ranges.claim(second, migration.id, owner="b", lease_s=60) is None


async def test_a_claim_leases_one_range_and_no_other(idle: Service):
    """Whatever plan PostgreSQL chooses: with a join it ran the subquery for every row."""
    migration = await start(idle, OTHER)
    async with idle.engine.begin() as conn:
        await migration_ranges.create(conn, migration.id, 16)
    for taken in range(1, 17):
        await claim(idle, migration, f"worker {taken}", lease_s=60)
        leased = "SELECT count(*) FROM migration_ranges WHERE lease_until IS NOT NULL"
        assert await sql(idle, leased) == [(taken,)]


async def test_texts_that_changed_meanwhile_are_not_written(idle: Service, migration: Migration):
    claimed = await claim(idle, migration, "worker", lease_s=60)
    embedded = await encode(idle, migration.target_index, await read(idle, migration, claimed))
    await write(idle, {"d1": "a loaf of bread"})
    await idle.indexer.remove("default", "d2")
    await idle.indexer.remove("default", "d3")
    await write(idle, {"d3": "made again with another text"})
    assert await put(idle, migration, claimed, embedded) == 57
    missing = sorted(await lacking(idle, migration.target_index.id))
    assert missing == ["missing d1", "missing d3"]
    waiting = await sql(
        idle, "SELECT count(*) FROM pending WHERE index_id = :i", i=migration.target_index.id
    )
    assert waiting == [(2,)]


async def take_the_lead(conn: AsyncConnection, migration: Migration, owner: str) -> int | None:
    return await migrations.claim(
        conn, migration.id, state=migration.state, owner=owner, lease_s=60
    )


async def test_only_one_worker_leads(idle: Service, migration: Migration):
    async with idle.engine.begin() as conn:
        first = await take_the_lead(conn, migration, "a")
        assert await take_the_lead(conn, migration, "b") is None
        assert first is not None
        await migrations.release(conn, migration.id, first)
        second = await take_the_lead(conn, migration, "b")
        assert second == first + 1
    with pytest.raises(errors.LeaseLost):
        async with idle.engine.begin() as conn:
            await reembed.change_state(conn, migration, "building", epoch=first)


async def test_a_worker_with_an_outdated_state_does_not_lead(idle: Service):
    """It would repeat what is done: two workers created the ranges of one migration."""
    migration = await start(idle, OTHER)
    async with idle.engine.begin() as conn:
        await migration_ranges.create(conn, migration.id, 1)
        await reembed.change_state(conn, migration, "backfilling")
    async with leadership.lead(idle.engine, migration, "late") as epoch:
        assert epoch is None
    async with leadership.lead(idle.engine, await look(idle, migration.id), "knows") as epoch:
        assert epoch is not None


async def test_a_worker_that_died_is_taken_over(idle: Service, migration: Migration):
    """Its lease ends by the database's clock; what it has written stays."""
    claimed = await claim(idle, migration, "dead", lease_s=2)
    embedded = await encode(
        idle, migration.target_index, (await read(idle, migration, claimed))[:20]
    )
    await put(idle, migration, claimed, embedded)
    before = await sql(idle, f"SELECT xmin::text, doc_key FROM {migration.target_index.table}")
    async with working(idle):
        done = await reach(idle, migration, "soaking")
    after = await sql(idle, f"SELECT xmin::text, doc_key FROM {done.target_index.table}")
    assert set(before) <= set(after)
    assert await lacking(idle, done.target_index.id) == []


async def test_many_workers_share_one_migration(idle: Service):
    await write(idle, texts(1200))
    migration = await start(idle, OTHER)
    workers = [asyncio.create_task(worker_of(idle).run()) for _ in range(3)]
    try:
        done = await reach(idle, migration, "soaking")
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    assert await lacking(idle, done.target_index.id) == []
    counted = await sql(
        idle, "SELECT sum(done) FROM migration_ranges WHERE migration_id = :id", id=migration.id
    )
    # Nothing was embedded twice.
    assert counted == [(1200,)]


async def test_a_restarted_worker_finds_its_migration(idle: Service, migration: Migration):
    """All that a worker knows is in the database."""
    again = await look(idle, migration.id)
    assert not again.is_idle
    assert again.state == "backfilling"


async def leads(service: Service, migration: Migration) -> asyncio.Task[None]:
    """A worker that leads the migration and is busy for a minute."""
    started = asyncio.Event()

    async def lead() -> None:
        async with leadership.lead(service.engine, migration, "busy") as epoch:
            assert epoch is not None
            started.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(lead())
    await started.wait()
    return task


async def test_a_command_stops_the_leader(idle: Service, migration: Migration):
    busy = await leads(idle, migration)
    await idle.commands.pause(migration)
    with pytest.raises(errors.LeaseLost):
        await busy
    paused = await look(idle, migration.id)
    assert (paused.state, paused.row.lease_until) == ("paused", None)


async def test_a_leader_that_is_stopped_releases_its_lease(idle: Service, migration: Migration):
    busy = await leads(idle, migration)
    busy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await busy
    assert (await look(idle, migration.id)).row.lease_until is None


async def test_the_rate_limits_texts_written_meanwhile_too(idle: Service):
    await write(idle, texts(60))
    migration = await start(idle, OTHER, max_rate=10_000)
    async with idle.engine.begin() as conn:
        await migration_ranges.create(conn, migration.id, 1)
        await reembed.change_state(conn, migration, "backfilling")
        await pending.add_missing(conn, migration.target_index.id, migration.collection.id, 100)
        await conn.execute(text("UPDATE migration_ranges SET finished = true"))
    async with working(idle):
        await reach(idle, migration, "soaking")
    assert await sql(idle, "SELECT next_batch_at IS NOT NULL FROM migrations") == [(True,)]


async def test_the_status_says_when_no_worker_runs(idle: Service, migration: Migration):
    async with idle.engine.connect() as conn:
        status_text = (await status.read(conn, migration)).next
    assert status_text.startswith("No worker is running: start `vecmark worker`")
    await idle.commands.pause(migration)
    async with idle.engine.connect() as conn:
        status_text = (await status.read(conn, await look(idle, migration.id))).next
    assert "No worker" not in status_text


async def test_a_range_on_which_workers_die_is_split_into_texts(
    idle: Service, migration: Migration
):
    """Its texts become pending, and those are leased one by one in the end."""
    for _ in range(2):
        await claim(idle, migration, "dead", lease_s=-1)
    with structlog.testing.capture_logs() as logged:
        async with working(idle):
            done = await reach(idle, migration, "soaking")
    assert [entry["documents"] for entry in logged if entry["event"] == "range_set_apart"] == [60]
    assert await lacking(idle, done.target_index.id) == []


async def test_a_range_that_made_progress_is_not_split_into_texts(
    idle: Service, migration: Migration
):
    for _ in range(2):
        claimed = await claim(idle, migration, "dead", lease_s=-1)
    embedded = await encode(
        idle, migration.target_index, (await read(idle, migration, claimed))[:20]
    )
    await put(idle, migration, claimed, embedded)
    assert not (await claim(idle, migration, "next", lease_s=60)).is_suspect


async def test_texts_written_during_a_long_build_are_throttled_too(
    idle: Service, migration: Migration
):
    """They are not embedded all at once by the worker that verifies."""
    async with idle.engine.begin() as conn:
        await reembed.change_state(conn, migration, "building")
    async with idle.engine.begin() as conn:
        await reembed.change_state(conn, await look(idle, migration.id), "verifying")
    await write(idle, texts(1100))
    async with working(idle):
        done = await reach(idle, migration, "soaking")
    states = [change["state"] for change in done.row.history]
    assert states == [
        "planned", "backfilling", "building", "verifying",
        "backfilling", "building", "verifying", "ready", "cutting", "soaking",
    ]  # fmt: skip
    assert await lacking(idle, done.target_index.id) == []


async def test_while_it_waits_for_a_person_it_stays_up_to_date(idle: Service):
    await write(idle, texts(60))
    migration = await start(idle, OTHER, manual=True)
    async with working(idle):
        ready = await reach(idle, migration, "ready")
        await write(idle, texts(90))
        deadline = asyncio.get_running_loop().time() + 60
        while await lacking(idle, ready.target_index.id):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.05)
    assert (await look(idle, migration.id)).state == "ready"
