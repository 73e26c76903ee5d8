"""What the tasks of a process ask the database for while there is nothing to do."""

import contextlib
from collections.abc import Iterator

import pytest
from sqlalchemy import event

from api.service import Service
from embedding.chunking import Chunking
from indexing.hnsw import HnswKeeper
from tests.integration.conftest import Open, write
from tests.integration.indexing.test_hnsw import builder
from tests.integration.migrations.test_moving import runner_of


@pytest.fixture
async def idle(opened: Open):
    async with opened(worker=False) as service:
        yield service


@contextlib.contextmanager
def counted(service: Service) -> Iterator[list[str]]:
    """The statements that are sent in the block."""
    sent: list[str] = []

    def note(_conn, _cursor, statement, *_rest) -> None:
        sent.append(statement)

    engine = service.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def test_collections_at_rest_cost_nothing(idle: Service):
    """However many there are: the number of statements is the same."""
    keeper = HnswKeeper(idle.engine, builder(idle), idle.indexer, min_rows=300)
    found = []
    for count in (1, 8):
        for no in range(count):
            await idle.create(f"c{count}-{no}", None, Chunking())
            await write(idle, {"d1": "a boat on the lake"}, name=f"c{count}-{no}")
        for _ in range(3):  # after which it is known that they are small
            await keeper.tick()
        with counted(idle) as sent:
            await keeper.tick()
            await idle.backlog.tick()
            await runner_of(idle).tick()
        found.append(len(sent))
    assert found[0] == found[1], found
    assert found[0] <= 4
