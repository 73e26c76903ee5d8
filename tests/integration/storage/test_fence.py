"""Writes share the fence; whoever changes the live indexes has it alone."""

import asyncio

import pytest
from sqlalchemy.exc import DBAPIError

from api.service import Service
from storage import engine, fence
from tests.integration.conftest import write


async def test_writers_do_not_wait_for_each_other(service: Service):
    collection = (await service.collection("default")).row
    async with service.engine.begin() as first, service.engine.begin() as second:
        assert len(await fence.enter(first, collection.id)) == 1
        assert len(await fence.enter(second, collection.id)) == 1


async def test_closing_gives_up_while_a_write_is_in_progress(service: Service):
    collection = (await service.collection("default")).row
    async with service.engine.begin() as writer:
        await fence.enter(writer, collection.id)
        with pytest.raises(DBAPIError) as raised:
            async with service.engine.begin() as changer:
                await fence.close(changer)
        assert engine.is_conflict(raised.value)
    async with service.engine.begin() as changer:
        await fence.close(changer)


async def test_a_write_waits_for_who_changes_the_indexes(service: Service):
    async with service.engine.begin() as changer:
        await fence.close(changer)
        writing = asyncio.create_task(write(service, {"a": "a boat"}))
        while not await waits_for_a_lock(service):
            assert not writing.done()
    (result,) = await writing
    assert result.status == "created"


async def waits_for_a_lock(service: Service) -> bool:
    from sqlalchemy import text

    async with service.engine.connect() as conn:
        rows = await conn.execute(text("SELECT 1 FROM pg_locks WHERE NOT granted"))
        return rows.first() is not None


async def test_a_write_into_a_collection_deleted_meanwhile(service: Service):
    """The write is refused; nothing of the deleted collection comes back."""
    from storage.errors import CollectionNotFound

    await service.create("other", None, chunking_of_default())
    old = await service.collection("other")
    await service.catalog.delete("other")
    async with service.engine.begin() as conn:
        assert await fence.enter(conn, old.row.id) == []
    with pytest.raises(CollectionNotFound):
        await service.indexer.remove("other", "a")


def chunking_of_default():
    from embedding.text.chunking import Chunking

    return Chunking()
