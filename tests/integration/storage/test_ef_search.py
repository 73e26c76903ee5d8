"""A connection to the server gets an ef_search once, and again only for another value."""

from collections.abc import AsyncIterator

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from api.service import Service
from storage import engine, search
from storage.indexes import IndexRow

SHOW = text("SHOW hnsw.ef_search")


@pytest.fixture
async def index(service: Service) -> IndexRow:
    return (await service.collection("default")).active


@pytest.fixture
async def one_connection(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine in autocommit, as the searcher's, whose pool has a single connection."""
    opened = engine.create_engine(database_url, pool_size=1)
    yield opened.execution_options(isolation_level="AUTOCOMMIT")
    await opened.dispose()


async def scan(conn: AsyncConnection, index: IndexRow, ef_search: int) -> str:
    """A search with this ef_search; the server's value afterwards."""
    vector = np.ones(index.dimensions, np.float32)
    await search.nearest_distances(conn, index, vector, 1, ef_search=ef_search)
    return (await conn.execute(SHOW)).scalar_one()


async def change_unnoticed(conn: AsyncConnection) -> None:
    """So that the server shows whether it is set again."""
    await conn.execute(text("SELECT set_config('hnsw.ef_search', '77', false)"))


async def test_it_is_set_once_for_each_value(one_connection: AsyncEngine, index: IndexRow):
    async with one_connection.connect() as conn:
        assert await scan(conn, index, 200) == "200"
        await change_unnoticed(conn)
        assert await scan(conn, index, 200) == "77"
        assert await scan(conn, index, 300) == "300"


async def test_it_is_remembered_in_the_pool(one_connection: AsyncEngine, index: IndexRow):
    async with one_connection.connect() as conn:
        assert await scan(conn, index, 200) == "200"
        await change_unnoticed(conn)
    async with one_connection.connect() as conn:
        assert await scan(conn, index, 200) == "77"


async def test_a_new_connection_to_the_server_gets_it_again(
    one_connection: AsyncEngine, index: IndexRow
):
    async with one_connection.connect() as conn:
        assert await scan(conn, index, 200) == "200"
        await conn.invalidate()
    async with one_connection.connect() as conn:
        assert (await conn.execute(SHOW)).scalar_one() != "200"
        assert await scan(conn, index, 200) == "200"


async def test_a_connection_that_the_server_ended_gets_it_again(
    one_connection: AsyncEngine, index: IndexRow, service: Service
):
    async with one_connection.connect() as conn:
        assert await scan(conn, index, 200) == "200"
        pid = (await conn.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        async with service.engine.connect() as other:
            await other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        with pytest.raises(engine.FAILURES):
            await conn.execute(SHOW)
    async with one_connection.connect() as conn:
        assert await scan(conn, index, 200) == "200"
