"""A search asserts, in its own statement, that its index is still the active one."""

import dataclasses

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from api.service import Service
from indexing.searcher import SearchQuery
from storage import errors, indexes, search, vector_tables, vectors
from storage.indexes import IndexRow
from tests.integration.conftest import write


async def another_index(service: Service) -> IndexRow:
    """A copy of `default`'s active index, which becomes the active one."""
    old = (await service.collection("default")).active
    async with service.engine.begin() as conn:
        new_id = await indexes.create(
            conn,
            collection_id=old.collection_id,
            space_id=old.space_id,
            dimensions=old.dimensions,
            chunking=indexes.IndexChunking(
                old.strategy, old.size, old.overlap, old.chunker_version
            ),
            state="active",
        )
        await conn.execute(text(f"INSERT INTO vectors_{new_id} SELECT * FROM {old.table}"))
        await conn.execute(text("UPDATE collections SET active_index_id = :new"), {"new": new_id})
        await conn.execute(
            text("UPDATE indexes SET state = 'retired' WHERE id = :old"), {"old": old.id}
        )
        index = await indexes.by_id(conn, new_id)
    assert index is not None
    return index


async def autocommit(service: Service) -> AsyncConnection:
    engine = service.engine.execution_options(isolation_level="AUTOCOMMIT")
    return await engine.connect()


def any_query(index: IndexRow) -> search.Query:
    vector = np.zeros(index.dimensions, np.float32)
    vector[0] = 1
    return search.Query(vector=vector, limit=3)


@pytest.mark.parametrize("dropped", [False, True])
async def test_an_index_that_is_no_longer_active_is_not_searched(service: Service, dropped: bool):
    await write(service, {"a": "a boat", "b": "a bridge"})
    old = (await service.collection("default")).active
    await another_index(service)
    if dropped:
        async with service.engine.begin() as conn:
            await vector_tables.drop(conn, old.id)
    conn = await autocommit(service)
    try:
        for query in (any_query(old), dataclasses.replace(any_query(old), exact=True)):
            with pytest.raises(errors.IndexChanged):
                await search.nearest(conn, old, query)
    finally:
        await conn.close()


@pytest.mark.parametrize("dropped", [False, True])
async def test_a_search_in_progress_is_repeated_in_the_new_index(service: Service, dropped: bool):
    """The process still uses the old index when it encodes the query."""
    await write(service, {"a": "a boat", "b": "a bridge"})
    first = await service.searcher.by_text("default", "a boat", SearchQuery(limit=1))
    new = await another_index(service)
    if dropped:
        async with service.engine.begin() as conn:
            await vector_tables.drop(conn, first.collection.active.id)
    answer = await service.searcher.by_text("default", "a boat", SearchQuery(limit=1))
    assert answer.collection.active.id == new.id
    assert [hit.id for hit in answer.nearest.hits] == ["a"]
    similar = await service.searcher.similar("default", "a", SearchQuery(limit=5))
    assert [hit.id for hit in similar.nearest.hits] == ["b"]


async def test_writes_follow_the_new_index(service: Service):
    await write(service, {"a": "a boat"})
    new = await another_index(service)
    (result,) = await write(service, {"b": "a bridge"})
    assert result.status == "created"
    async with service.engine.connect() as conn:
        counted = await conn.execute(text(f"SELECT count(*) FROM {new.table}"))
        assert counted.scalar_one() == 2


async def test_a_vector_of_another_space_cannot_be_stored(service: Service):
    index = (await service.collection("default")).active
    vector = np.ones(index.dimensions, np.float32)
    row = vectors.VectorRow(
        doc_key=index.collection_id,
        chunk_no=0,
        text_hash=b"x" * 16,
        space_id=index.space_id,
        char_start=0,
        char_end=1,
        token_count=1,
        embedding=vector,
    )
    wrong = dataclasses.replace(row, space_id=index.space_id + 1)
    async with service.engine.connect() as conn:
        with pytest.raises(Exception, match="space_id"):
            await vectors.copy_in(conn, index.id, [wrong])
    async with service.engine.begin() as conn:
        await vectors.copy_in(conn, index.id, [row])
        assert await vectors.sweep_orphans(conn, index.id, 10) == 1


async def test_vectors_of_other_dimensions_cannot_be_stored(service: Service):
    index = (await service.collection("default")).active
    with pytest.raises(DBAPIError, match="dimensions"):
        async with service.engine.begin() as conn:
            await conn.execute(
                text(
                    f"INSERT INTO {index.table} VALUES (gen_random_uuid(), 0, 'x',"
                    f" {index.space_id}, 0, 1, 1, '[1,2,3]'::halfvec)"
                )
            )
