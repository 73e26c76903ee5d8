"""Workers that come late, sleep or die: what they write counts only while their lease does."""

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
from tests.integration.migrations.test_moving import runner_of, texts


@pytest.fixture
async def moving(idle: Service) -> Migration:
    """A migration of sixty documents in its backfill, on which nobody works."""
    await write(idle, texts(60))
    found = await start(idle, OTHER)
    async with idle.engine.begin() as conn:
        await migration_ranges.create(conn, found.id, 1)
        await reembed.change_state(conn, found, "backfilling")
    return await look(idle, found.id)


@contextlib.asynccontextmanager
async def working(service: Service) -> AsyncIterator[None]:
    """A worker, as long as the block."""
    running = asyncio.create_task(runner_of(service).run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def claim(service: Service, moving: Migration, owner: str, lease_s: float) -> Range:
    async with service.engine.begin() as conn:
        held = await migration_ranges.claim(conn, moving.id, owner=owner, lease_s=lease_s)
    assert held is not None
    return held


async def read(service: Service, moving: Migration, held: Range) -> list[SourceDocument]:
    async with service.engine.connect() as conn:
        return await migration_ranges.next_documents(
            conn,
            held,
            collection_id=moving.collection.id,
            index_id=moving.target_index.id,
            after=None,
            limit=100,
            max_bytes=10**6,
        )


async def encode(
    service: Service, index: IndexRow, sources: list[SourceDocument]
) -> list[text_vectors.WrittenVectors]:
    with service.models.held(index) as loaded:
        done = await text_vectors.embed_texts(
            loaded, [one.text for one in sources], chunking_of(index)
        )
    return [
        text_vectors.WrittenVectors(source.doc_key, source.text_hash, one)
        for source, one in zip(sources, done, strict=True)
    ]


async def put(
    service: Service, moving: Migration, held: Range, filled: list[text_vectors.WrittenVectors]
) -> int:
    async with service.engine.begin() as conn:
        await fence.enter(conn, moving.collection.id)
        written = await text_vectors.write_texts(conn, moving.target_index, filled)
        if not await migration_ranges.record_progress(
            conn, held, documents=len(written), chunks=len(written)
        ):
            raise errors.LeaseLost(str(held.no))
    return len(written)


async def test_a_worker_whose_range_was_taken_over_writes_nothing(idle: Service, moving: Migration):
    slow = await claim(idle, moving, "slow", lease_s=-1)
    filled = await encode(idle, moving.target_index, await read(idle, moving, slow))
    quick = await claim(idle, moving, "quick", lease_s=60)
    assert quick.no == slow.no
    with pytest.raises(errors.LeaseLost):
        await put(idle, moving, slow, filled)
    assert await sql(idle, f"SELECT count(*) FROM {moving.target_index.table}") == [(0,)]
    assert await put(idle, moving, quick, filled) == 60


async def test_a_range_is_never_leased_twice(idle: Service, moving: Migration):
    async with idle.engine.begin() as one, idle.engine.begin() as other:
        assert await migration_ranges.claim(one, moving.id, owner="a", lease_s=60) is not None
        assert await migration_ranges.claim(other, moving.id, owner="b", lease_s=60) is None


async def test_a_claim_leases_one_range_and_no_other(idle: Service):
    """Whatever plan PostgreSQL has for it: joined, the subquery was run for every row."""
    found = await start(idle, OTHER)
    async with idle.engine.begin() as conn:
        await migration_ranges.create(conn, found.id, 16)
    for taken in range(1, 17):
        await claim(idle, found, f"worker {taken}", lease_s=60)
        leased = "SELECT count(*) FROM migration_ranges WHERE lease_until IS NOT NULL"
        assert await sql(idle, leased) == [(taken,)]


async def test_texts_that_changed_meanwhile_are_not_written(idle: Service, moving: Migration):
    held = await claim(idle, moving, "worker", lease_s=60)
    filled = await encode(idle, moving.target_index, await read(idle, moving, held))
    await write(idle, {"d1": "a loaf of bread"})
    await idle.indexer.remove("default", "d2")
    await idle.indexer.remove("default", "d3")
    await write(idle, {"d3": "made again with another text"})
    assert await put(idle, moving, held, filled) == 57
    missing = sorted(await lacking(idle, moving.target_index.id))
    assert missing == ["missing d1", "missing d3"]
    waiting = await sql(
        idle, "SELECT count(*) FROM pending WHERE index_id = :i", i=moving.target_index.id
    )
    assert waiting == [(2,)]


async def take_the_lead(conn: AsyncConnection, moving: Migration, owner: str) -> int | None:
    return await migrations.claim(conn, moving.id, state=moving.state, owner=owner, lease_s=60)


async def test_the_lead_is_one_workers_alone(idle: Service, moving: Migration):
    async with idle.engine.begin() as conn:
        first = await take_the_lead(conn, moving, "a")
        assert await take_the_lead(conn, moving, "b") is None
        assert first is not None
        await migrations.release(conn, moving.id, first)
        second = await take_the_lead(conn, moving, "b")
        assert second == first + 1
    with pytest.raises(errors.LeaseLost):
        async with idle.engine.begin() as conn:
            await reembed.change_state(conn, moving, "building", epoch=first)


async def test_who_learns_late_that_it_was_moved_on_does_not_lead(idle: Service):
    """It would do again what is done: two workers made the ranges of one migration."""
    found = await start(idle, OTHER)
    async with idle.engine.begin() as conn:
        await migration_ranges.create(conn, found.id, 1)
        await reembed.change_state(conn, found, "backfilling")
    async with leadership.lead(idle.engine, found, "late") as epoch:
        assert epoch is None
    async with leadership.lead(idle.engine, await look(idle, found.id), "knows") as epoch:
        assert epoch is not None


async def test_a_worker_that_died_is_taken_over(idle: Service, moving: Migration):
    """Its lease ends by the database's clock; what it has written stays."""
    held = await claim(idle, moving, "dead", lease_s=2)
    filled = await encode(idle, moving.target_index, (await read(idle, moving, held))[:20])
    await put(idle, moving, held, filled)
    before = await sql(idle, f"SELECT xmin::text, doc_key FROM {moving.target_index.table}")
    async with working(idle):
        done = await reach(idle, moving, "soaking")
    after = await sql(idle, f"SELECT xmin::text, doc_key FROM {done.target_index.table}")
    assert set(before) <= set(after)
    assert await lacking(idle, done.target_index.id) == []


async def test_many_workers_share_one_migration(idle: Service):
    await write(idle, texts(1200))
    found = await start(idle, OTHER)
    runners = [asyncio.create_task(runner_of(idle).run()) for _ in range(3)]
    try:
        done = await reach(idle, found, "soaking")
    finally:
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, return_exceptions=True)
    assert await lacking(idle, done.target_index.id) == []
    counted = await sql(
        idle, "SELECT sum(done) FROM migration_ranges WHERE migration_id = :id", id=found.id
    )
    # Nothing was embedded twice.
    assert counted == [(1200,)]


async def test_a_start_finds_what_it_left(idle: Service, moving: Migration):
    """All that a worker knows is in the database."""
    again = await look(idle, moving.id)
    assert not again.is_idle
    assert again.state == "backfilling"


async def leads(service: Service, moving: Migration) -> asyncio.Task[None]:
    """A worker that leads the migration and is busy for a minute."""
    begun = asyncio.Event()

    async def lead() -> None:
        async with leadership.lead(service.engine, moving, "busy") as epoch:
            assert epoch is not None
            begun.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(lead())
    await begun.wait()
    return task


async def test_an_order_ends_what_the_leader_is_busy_with(idle: Service, moving: Migration):
    busy = await leads(idle, moving)
    await idle.commands.pause(moving)
    with pytest.raises(errors.LeaseLost):
        await busy
    paused = await look(idle, moving.id)
    assert (paused.state, paused.row.lease_until) == ("paused", None)


async def test_a_leader_that_is_stopped_gives_the_lease_back(idle: Service, moving: Migration):
    busy = await leads(idle, moving)
    busy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await busy
    assert (await look(idle, moving.id)).row.lease_until is None


async def test_what_was_written_meanwhile_is_held_back_by_the_rate_too(idle: Service):
    await write(idle, texts(60))
    found = await start(idle, OTHER, max_rate=10_000)
    async with idle.engine.begin() as conn:
        await migration_ranges.create(conn, found.id, 1)
        await reembed.change_state(conn, found, "backfilling")
        await pending.add_missing(conn, found.target_index.id, found.collection.id, 100)
        await conn.execute(text("UPDATE migration_ranges SET finished = true"))
    async with working(idle):
        await reach(idle, found, "soaking")
    assert await sql(idle, "SELECT next_batch_at IS NOT NULL FROM migrations") == [(True,)]


async def test_the_status_says_when_no_worker_runs(idle: Service, moving: Migration):
    async with idle.engine.connect() as conn:
        status_text = (await status.read(conn, moving)).next
    assert status_text.startswith("No worker is running: start `vecmark worker`")
    await idle.commands.pause(moving)
    async with idle.engine.connect() as conn:
        status_text = (await status.read(conn, await look(idle, moving.id))).next
    assert "No worker" not in status_text


async def test_a_range_on_which_workers_die_is_taken_apart(idle: Service, moving: Migration):
    """Its texts become pending ones, which are leased one by one in the end."""
    for _ in range(2):
        await claim(idle, moving, "dead", lease_s=-1)
    with structlog.testing.capture_logs() as logged:
        async with working(idle):
            done = await reach(idle, moving, "soaking")
    assert [one["documents"] for one in logged if one["event"] == "range_set_apart"] == [60]
    assert await lacking(idle, done.target_index.id) == []


async def test_a_range_that_made_progress_is_not_taken_apart(idle: Service, moving: Migration):
    for _ in range(2):
        held = await claim(idle, moving, "dead", lease_s=-1)
    filled = await encode(idle, moving.target_index, (await read(idle, moving, held))[:20])
    await put(idle, moving, held, filled)
    assert not (await claim(idle, moving, "next", lease_s=60)).is_suspect


async def test_what_came_during_a_long_build_is_held_back_too(idle: Service, moving: Migration):
    """Not embedded in one go by whoever verifies."""
    async with idle.engine.begin() as conn:
        await reembed.change_state(conn, moving, "building")
    async with idle.engine.begin() as conn:
        await reembed.change_state(conn, await look(idle, moving.id), "verifying")
    await write(idle, texts(1100))
    async with working(idle):
        done = await reach(idle, moving, "soaking")
    states = [moment["state"] for moment in done.row.history]
    assert states == [
        "planned", "backfilling", "building", "verifying",
        "backfilling", "building", "verifying", "ready", "cutting", "soaking",
    ]  # fmt: skip
    assert await lacking(idle, done.target_index.id) == []


async def test_while_it_waits_for_a_person_it_stays_near(idle: Service):
    await write(idle, texts(60))
    found = await start(idle, OTHER, manual=True)
    async with working(idle):
        ready = await reach(idle, found, "ready")
        await write(idle, texts(90))
        deadline = asyncio.get_running_loop().time() + 60
        while await lacking(idle, ready.target_index.id):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.05)
    assert (await look(idle, found.id)).state == "ready"
