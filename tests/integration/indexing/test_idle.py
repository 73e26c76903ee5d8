"""The database statements of a process's background tasks while there is nothing to do."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from sqlalchemy import event

from api.service import Service
from embedding.text.chunking import Chunking
from indexing.hnsw.keeper import HnswKeeper
from tests.integration.conftest import Open, write
from tests.integration.indexing.hnsw.test_keeper import builder
from tests.integration.migrations.test_moving import worker_of


@pytest.fixture
async def idle(opened: Open):
    async with opened(worker=False) as service:
        yield service


@contextlib.contextmanager
def counted(service: Service) -> Iterator[list[str]]:
    """The statements that this task sends in the block, without those of other tasks."""
    sent: list[str] = []
    task = asyncio.current_task()

    def note(_conn, _cursor, statement, *_rest) -> None:
        if asyncio.current_task() is task:
            sent.append(statement)

    engine = service.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def test_idle_collections_cost_nothing(idle: Service):
    """However many collections there are: one statement per task, two for the HNSW indexes."""
    keeper = HnswKeeper(idle.engine, builder(idle), idle.indexer, min_rows=300)
    for count in (1, 8):
        for no in range(count):
            await idle.create(f"c{count}-{no}", None, Chunking())
            await write(idle, {"d1": "a boat on the lake"}, name=f"c{count}-{no}")
        deadline = asyncio.get_running_loop().time() + 60
        sent = [""] * 5
        # PostgreSQL reports inserted rows up to ten seconds late.
        while len(sent) > 4:
            assert asyncio.get_running_loop().time() < deadline, sent
            with counted(idle) as sent:
                await keeper.tick()
                await idle.backlog.tick()
                await worker_of(idle).tick()
        assert len(sent) == 4
