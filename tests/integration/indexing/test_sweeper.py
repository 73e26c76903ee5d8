"""The sweeper deletes what can't be reached any more, and nothing else."""

from sqlalchemy import text

from api.service import Service
from embedding.text.chunking import Chunking
from indexing.searcher import SearchQuery
from tests.integration.conftest import write


async def count(service: Service, query: str) -> int:
    async with service.engine.connect() as conn:
        return int((await conn.execute(text(query))).scalar_one())


async def test_a_deleted_collection_is_swept(service: Service):
    await write(service, {"a": "a boat", "b": "a bridge"})
    gone = (await service.collection("default")).active
    await service.catalog.delete("default")
    await service.create("kept", None, Chunking())
    await write(service, {"c": "a loaf"})  # into `default`, created again
    await service.sweeper.sweep()
    assert (
        await count(service, f"SELECT count(*) FROM pg_class WHERE relname = '{gone.table}'") == 0
    )
    assert await count(service, f"SELECT count(*) FROM indexes WHERE id = {gone.id}") == 0
    assert await count(service, "SELECT count(*) FROM documents") == 1
    answer = await service.searcher.by_text("default", "a loaf", SearchQuery(exact=True))
    assert [hit.id for hit in answer.nearest.hits] == ["c"]


async def test_a_table_in_use_is_swept_later(service: Service):
    await write(service, {"a": "a boat"})
    gone = (await service.collection("default")).active
    await service.catalog.delete("default")
    there = f"SELECT count(*) FROM pg_class WHERE relname = '{gone.table}'"
    async with service.engine.begin() as reader:
        await reader.execute(text(f"SELECT count(*) FROM {gone.table}"))
        await service.sweeper.sweep()
        assert await count(service, there) == 1
    await service.sweeper.sweep()
    assert await count(service, there) == 0
