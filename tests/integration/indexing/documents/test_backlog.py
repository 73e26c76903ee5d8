"""What an index lacks is embedded later, by one of any number of workers."""

import asyncio

import pytest
from sqlalchemy import text

from api.service import Service
from indexing.documents.backlog import Backlog
from indexing.searcher import SearchQuery
from storage import pending, pending_leases
from tests.integration.conftest import Open, write


async def active_id(service: Service) -> int:
    return (await service.collection("default")).active.id


async def waiting(service: Service) -> list[tuple[object, ...]]:
    async with service.engine.connect() as conn:
        rows = await conn.execute(text("SELECT doc_key, attempts, error FROM pending"))
        return [tuple(row) for row in rows]


async def lose_vectors(service: Service) -> None:
    async with service.engine.begin() as conn:
        await conn.execute(text(f"DELETE FROM vectors_{await active_id(service)}"))


async def test_lost_vectors_are_found_and_embedded_after_a_start(opened: Open):
    async with opened() as service:
        await write(service, {f"d{no}": f"boat number {no}" for no in range(150)})
        await lose_vectors(service)
    async with opened() as service:
        deadline = asyncio.get_running_loop().time() + 30
        while True:
            answer = await service.searcher.by_text(
                "default", "boat", SearchQuery(limit=200, exact=True)
            )
            if len(answer.nearest.hits) == 150 and not await waiting(service):
                break
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.05)


@pytest.fixture
async def lacking(service: Service) -> int:
    """The id of an index that lacks forty documents, noted; nobody works on them."""
    await write(service, {f"d{no}": f"boat number {no}" for no in range(40)})
    await lose_vectors(service)
    index_id = await active_id(service)
    collection = await service.collection("default")
    async with service.engine.begin() as conn:
        # The service's own worker leaves leased rows alone.
        await pending.add_missing(conn, index_id, collection.row.id, 1000)
        await conn.execute(
            text("UPDATE pending SET lease_until = now() + interval '1 hour', lease_epoch = 7")
        )
    return index_id


async def release(service: Service) -> None:
    async with service.engine.begin() as conn:
        await conn.execute(text("UPDATE pending SET lease_until = now() - interval '1 second'"))


async def test_workers_never_claim_the_same(service: Service, lacking: int):
    async with service.engine.connect() as first_conn, service.engine.connect() as second_conn:
        await first_conn.execute(
            text("UPDATE pending SET lease_until = now() - interval '1 second' WHERE true")
        )
        first = await pending_leases.claim(first_conn, lacking, owner="a", limit=25, lease_s=60)
        # Before the first has committed: its rows are passed over, not waited for.
        assert (
            await pending_leases.claim(second_conn, lacking, owner="b", limit=25, lease_s=60) == []
        )
        await first_conn.commit()
        second = await pending_leases.claim(second_conn, lacking, owner="b", limit=25, lease_s=60)
        await second_conn.commit()
    assert (len(first), len(second)) == (25, 15)
    assert not {claim.doc_key for claim in first} & {claim.doc_key for claim in second}


async def test_a_lease_that_was_taken_over_settles_nothing(service: Service, lacking: int):
    async with service.engine.begin() as conn:
        await conn.execute(text("UPDATE pending SET lease_until = now() - interval '1 second'"))
        slow = await pending_leases.claim(conn, lacking, owner="slow", limit=100, lease_s=-1)
        quick = await pending_leases.claim(conn, lacking, owner="quick", limit=100, lease_s=60)
    assert len(slow) == len(quick) == 40
    async with service.engine.begin() as conn:
        await pending_leases.complete(conn, lacking, slow)
    assert len(await waiting(service)) == 40
    async with service.engine.begin() as conn:
        await pending_leases.complete(conn, lacking, quick)
    assert await waiting(service) == []


async def test_a_document_changed_meanwhile_keeps_its_newest_text(service: Service, lacking: int):
    async with service.engine.begin() as conn:
        await conn.execute(text("UPDATE pending SET lease_until = now() - interval '1 second'"))
        claims = await pending_leases.claim(conn, lacking, owner="slow", limit=100, lease_s=60)
    await write(service, {"d3": "a loaf of bread"})
    async with service.engine.begin() as conn:
        await pending_leases.complete(conn, lacking, claims)
    answer = await service.searcher.by_text(
        "default", "a loaf of bread", SearchQuery(exact=True, limit=1)
    )
    assert [hit.id for hit in answer.nearest.hits] == ["d3"]
    assert await waiting(service) == []


async def cut_off(service: Service, times: int) -> None:
    """As if workers had been killed while holding these rows: the lease ended without a result."""
    async with service.engine.begin() as conn:
        await conn.execute(
            text("UPDATE pending SET lease_until = now() - interval '1 s', attempts = :times"),
            {"times": times},
        )


async def claimed(service: Service, lacking: int) -> int:
    async with service.engine.begin() as conn:
        return len(await pending_leases.claim(conn, lacking, owner="w", limit=100, lease_s=60))


async def test_what_was_cut_off_again_and_again_comes_alone(service: Service, lacking: int):
    """A text that crashes the process fails no other texts."""
    await cut_off(service, 1)
    assert await claimed(service, lacking) == 40
    await cut_off(service, 2)
    assert await claimed(service, lacking) == 1


async def test_no_more_text_is_read_at_once_than_fits(service: Service, lacking: int):
    async with service.engine.begin() as conn:
        await conn.execute(text("UPDATE documents SET text = repeat('a boat ', 60000)"))
    await cut_off(service, 0)
    assert await claimed(service, lacking) == 3


async def test_what_never_comes_to_a_result_is_set_aside_with_its_reason(
    service: Service, lacking: int
):
    await cut_off(service, pending.MAX_ATTEMPTS)
    assert await claimed(service, lacking) == 0
    async with service.engine.connect() as conn:
        counts = await pending.counts(conn, lacking)
        assert (counts.waiting, counts.failed) == (0, 40)


async def test_a_restart_does_not_retry_what_crashes_it(service: Service, lacking: int):
    """It would crash the worker each time; it is found although nobody recorded it."""
    await cut_off(service, pending.MAX_ATTEMPTS)
    async with service.engine.begin() as conn:
        await conn.execute(
            text("DELETE FROM pending WHERE doc_key = (SELECT doc_key FROM pending LIMIT 1)")
        )
    starting = asyncio.create_task(Backlog(service.engine, service.models).run())
    try:
        deadline = asyncio.get_running_loop().time() + 60
        while True:
            async with service.engine.connect() as conn:
                counts = await pending.counts(conn, lacking)
            if (counts.waiting, counts.failed) == (0, 39):
                break
            assert asyncio.get_running_loop().time() < deadline, counts
            await asyncio.sleep(0.05)
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    async with service.engine.begin() as conn:
        assert await pending.retry_failed(conn, lacking) == 39
    await cut_off(service, 0)
    assert await claimed(service, lacking) == 39


async def test_a_row_of_a_text_that_is_gone_is_not_waited_for(service: Service, lacking: int):
    await cut_off(service, 1)
    async with service.engine.begin() as conn:
        await conn.execute(text("UPDATE documents SET text_hash = 'other'"))
    assert await claimed(service, lacking) == 0
    assert await waiting(service) == []


async def test_what_failed_for_no_fault_of_the_text_counts_as_no_attempt(
    service: Service, lacking: int
):
    await cut_off(service, 1)
    async with service.engine.begin() as conn:
        claims = await pending_leases.claim(conn, lacking, owner="w", limit=100, lease_s=60)
        await pending_leases.release(conn, lacking, claims)
    assert {row[1] for row in await waiting(service)} == {1}
    assert await claimed(service, lacking) == 40


async def test_deleted_documents_are_not_waited_for(service: Service, lacking: int):
    for no in range(40):
        await service.indexer.remove("default", f"d{no}")
    assert await waiting(service) == []


async def test_several_workers_finish_together(service: Service, lacking: int):
    await release(service)
    workers = [Backlog(service.engine, service.models) for _ in range(3)]
    deadline = asyncio.get_running_loop().time() + 20
    while await waiting(service):
        await asyncio.gather(*(worker.tick() for worker in workers))
        assert asyncio.get_running_loop().time() < deadline
    async with service.engine.connect() as conn:
        counted = await conn.execute(
            text(
                f"SELECT count(*), count(DISTINCT v.doc_key) FROM vectors_{lacking} v"
                " JOIN documents d USING (doc_key) WHERE d.text_hash = v.text_hash"
            )
        )
        assert tuple(counted.one()) == (40, 40)
