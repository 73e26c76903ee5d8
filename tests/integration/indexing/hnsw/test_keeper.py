"""The HNSW index: when it is built, what interferes, and agreement with exact searches."""

import asyncio
import random

import pytest
from sqlalchemy import text

from api.service import Service
from indexing.hnsw.builder import HnswBuilder
from indexing.hnsw.keeper import HnswKeeper
from indexing.searcher import SearchQuery
from storage import hnsw
from storage.indexes import IndexRow
from tests import texts as made
from tests.integration.conftest import Open, write


def texts(count: int, start: int = 0) -> dict[str, str]:
    rng = random.Random(start)
    return {f"d{no}": f"{no} {made.words(rng, 8)}" for no in range(start, start + count)}


@pytest.fixture
def keeper(service: Service) -> HnswKeeper:
    return HnswKeeper(service.engine, builder(service), service.indexer, min_rows=300)


def builder(service: Service) -> HnswBuilder:
    return HnswBuilder(service.engine, service.models, target_recall=0.95, workers=0)


async def active(service: Service) -> IndexRow:
    service.catalog.forget("default")
    return (await service.collection("default")).active


async def is_valid(service: Service) -> bool:
    index = await active(service)
    async with service.engine.connect() as conn:
        return await hnsw.is_valid(conn, index.id)


async def execute(service: Service, statement: str) -> None:
    async with service.engine.begin() as conn:
        await conn.execute(text(statement))


async def look_thrice(keeper: HnswKeeper) -> None:
    """Two checks detect a bulk load, and PostgreSQL may report rows one check late."""
    await keeper.tick()
    await keeper.tick()
    await keeper.tick()


async def test_not_built_below_the_minimum_size(service: Service, keeper: HnswKeeper):
    await write(service, texts(299))
    await look_thrice(keeper)
    assert (await active(service)).hnsw == "none"
    await write(service, texts(1, start=299))
    deadline = asyncio.get_running_loop().time() + 60
    # PostgreSQL reports inserted rows up to ten seconds late.
    while (await active(service)).hnsw != "ready":
        assert asyncio.get_running_loop().time() < deadline
        await look_thrice(keeper)
    assert await is_valid(service)


async def test_built_automatically_and_searches_agree(opened: Open):
    async with opened(hnsw_min_rows=400, target_recall=0.95) as service:
        await write(service, texts(800))
        deadline = asyncio.get_running_loop().time() + 60
        while (index := await active(service)).hnsw != "ready":
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.05)
        assert index.ef_search is not None
        assert index.recall is not None
        assert index.recall >= 0.95
        shared = 0
        for words in texts(30, start=5000).values():
            near = await service.searcher.by_text("default", words, SearchQuery(limit=10))
            exact = await service.searcher.by_text(
                "default", words, SearchQuery(limit=10, exact=True)
            )
            assert (near.nearest.path, exact.nearest.path) == ("hnsw", "exact")
            ids = [{hit.id for hit in answer.nearest.hits} for answer in (near, exact)]
            shared += len(ids[0] & ids[1])
        assert shared >= 0.95 * 300


async def test_repeated_texts_do_not_count_as_missed(service: Service, keeper: HnswKeeper):
    """Which of forty equal rows are found makes no difference."""
    kinds = list(texts(10).values())
    await write(service, {f"d{no}": kinds[no % 10] for no in range(400)})
    await look_thrice(keeper)
    assert (await active(service)).recall == 1


async def test_not_built_while_a_bulk_stream_is_open(service: Service, keeper: HnswKeeper):
    async with service.indexer.stream((await service.collection("default")).row):
        await write(service, texts(400))
        for _ in range(3):
            await keeper.tick()
        assert (await active(service)).hnsw == "none"
    await look_thrice(keeper)
    assert (await active(service)).hnsw == "ready"


async def test_writes_continue_during_a_build(service: Service, keeper: HnswKeeper):
    await write(service, texts(1500))
    await keeper.tick()
    building = asyncio.create_task(keeper.tick())
    rounds = 0
    while not building.done():
        results = await write(service, texts(20, start=2000 + 20 * rounds))
        assert {result.status for result in results} == {"created"}
        rounds += 1
    await building
    assert rounds > 0
    assert (await active(service)).hnsw == "ready"
    last = texts(20, start=2000 + 20 * (rounds - 1))
    for id_, words in last.items():
        answer = await service.searcher.by_text("default", words, SearchQuery(limit=1))
        assert [hit.id for hit in answer.nearest.hits] == [id_]
        assert answer.nearest.path == "hnsw"


async def test_a_leftover_invalid_index_is_replaced(service: Service, keeper: HnswKeeper):
    await write(service, texts(400))
    index = await active(service)
    await execute(
        service,
        f"CREATE INDEX {hnsw.name(index.id)} ON {index.table}"
        " USING hnsw (embedding halfvec_cosine_ops)",
    )
    await execute(
        service,
        "UPDATE pg_index SET indisvalid = false"
        f" WHERE indexrelid = '{hnsw.name(index.id)}'::regclass",
    )
    assert not await is_valid(service)
    await look_thrice(keeper)
    assert await is_valid(service)
    assert (await active(service)).hnsw == "ready"


async def test_an_abandoned_build_is_repeated(service: Service, keeper: HnswKeeper):
    """As after kill -9 of the process that was building it."""
    await write(service, texts(400))
    index = await active(service)
    await execute(service, f"UPDATE indexes SET hnsw = 'building' WHERE id = {index.id}")
    await keeper.tick()
    assert (await active(service)).hnsw == "building"
    answer = await service.searcher.by_text("default", "boat", SearchQuery(limit=5))
    assert (answer.nearest.path, len(answer.nearest.hits)) == ("exact", 5)
    for _ in range(20):
        await keeper.tick()
    assert (await active(service)).hnsw == "ready"


async def test_a_failed_build_is_explained_and_not_retried_forever(
    service: Service, keeper: HnswKeeper
):
    await write(service, texts(400))
    index = await active(service)
    await execute(service, f"CREATE TABLE {hnsw.name(index.id)} (a int)")
    await look_thrice(keeper)
    after = await active(service)
    assert after.hnsw == "none"
    assert after.hnsw_error
    await look_thrice(keeper)
    answer = await service.searcher.by_text("default", "boat", SearchQuery(limit=5))
    assert len(answer.nearest.hits) == 5


async def test_two_processes_build_it_only_once(service: Service, keeper: HnswKeeper):
    await write(service, texts(600))
    index = await active(service)
    async with service.engine.begin() as conn:
        first, second = await hnsw.claim(conn, index.id), await hnsw.claim(conn, index.id)
    assert (first, second) == (True, False)


async def test_a_search_widens_past_many_chunks_of_one_document(
    service: Service, keeper: HnswKeeper
):
    """With the HNSW index first, then exactly if that doesn't return enough documents."""
    crowd = " ".join(f"The boat number {no} lies on the lake." for no in range(9000))
    await write(service, {"crowd": crowd})
    await write(service, {f"o{no}": f"Bread number {no} is baked." for no in range(12)})
    async with service.engine.connect() as conn:
        index = await active(service)
        counted = await conn.execute(text(f"SELECT count(*) FROM {index.table}"))
        rows = counted.scalar_one()
    assert rows > 100
    keeper_of_few = HnswKeeper(service.engine, builder(service), service.indexer, min_rows=1)
    await look_thrice(keeper_of_few)
    assert (await active(service)).hnsw == "ready"
    answer = await service.searcher.by_text(
        "default", "the boat on the lake", SearchQuery(limit=13)
    )
    assert len({hit.id for hit in answer.nearest.hits}) == 13
    assert answer.nearest.complete
