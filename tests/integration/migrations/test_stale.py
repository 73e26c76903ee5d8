"""A process that learns late of a new active index answers as if it had known."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator

import pytest

from api.routes import documents as routes
from api.service import Service
from indexing import errors
from indexing.catalog import Catalog
from indexing.documents.indexer import Indexer
from indexing.query_log import QueryLog
from indexing.searcher import Searcher, SearchQuery
from storage import documents
from storage.errors import DocumentNotFound
from tests.integration.conftest import write
from tests.integration.migrations.moving import NAME, reach, sql, start
from tests.integration.migrations.test_failures import MINILM, UNSEEN
from tests.integration.migrations.test_moving import texts


@pytest.fixture
def slow(service: Service) -> Catalog:
    """The catalog of another process, which learns of changes only when something fails."""
    return Catalog(service.engine, cached_s=3600)


@contextlib.asynccontextmanager
async def moved(service: Service, slow: Catalog) -> AsyncIterator[Searcher]:
    """Moves from MiniLM back to the static model; for `slow`, MiniLM's index is still active."""
    await write(service, texts(10))
    first = await reach(service, await start(service, MINILM), "soaking")
    await service.commands.retire(first)
    service.catalog.forget(NAME)
    believed = (await slow.find(NAME)).active
    migration = await reach(service, await start(service, service.settings.model), "soaking")
    assert believed.id == migration.source_index.id
    service.catalog.forget(NAME)
    assert (await service.collection(NAME)).active.id == migration.target_index.id
    yield Searcher(
        service.engine,
        service.models,
        slow,
        query_log=QueryLog(keeps=False),
        replica=service.replica,
    )


async def test_a_text_that_only_the_former_model_can_not_take(service: Service, slow: Catalog):
    async with moved(service, slow):
        key = documents.key((await slow.find(NAME)).row.id, "odd")
        new = documents.NewDocumentRow(key, "odd", UNSEEN, documents.text_hash(UNSEEN), b"{}")
        indexer = Indexer(service.engine, service.models, slow)
        written = await indexer.write((await slow.find(NAME)).row, [new])
        assert (written[key].status, written[key].pending) == ("created", False)


async def test_a_query_that_only_the_former_model_can_not_take(service: Service, slow: Catalog):
    async with moved(service, slow) as searcher:
        answer = await searcher.by_text(NAME, UNSEEN, SearchQuery(limit=3))
        assert answer.collection.active == (await service.collection(NAME)).active
        assert len(answer.nearest.hits) == 3


async def test_the_new_space_can_be_expected_at_once(service: Service, slow: Catalog):
    async with moved(service, slow) as searcher:
        new = (await service.collection(NAME)).active.fingerprint
        answer = await searcher.by_text(NAME, "boat", SearchQuery(expect_space=new))
        assert answer.collection.active.fingerprint == new


async def test_documents_like_one_that_only_the_new_index_holds(service: Service, slow: Catalog):
    async with moved(service, slow) as searcher:
        await write(service, {"odd": UNSEEN})
        answer = await searcher.similar(NAME, "odd", SearchQuery(limit=3))
        assert len(answer.nearest.hits) == 3
        with pytest.raises(DocumentNotFound):
            await searcher.similar(NAME, "nowhere", SearchQuery())


async def test_a_document_is_shown_even_if_the_former_index_is_gone(
    service: Service, slow: Catalog
):
    async with moved(service, slow) as searcher:
        former = (await slow.find(NAME)).active
        late = dataclasses.replace(service, catalog=slow)
        async with service.engine.begin() as conn:
            await conn.exec_driver_sql(f"DROP TABLE {former.table}")
        shown = await routes.get_one.fn(document_id="d1", service=late, collection=NAME)
        assert shown.chunks == 1
        assert len((await searcher.similar(NAME, "d1", SearchQuery(limit=3))).nearest.hits) == 3


async def test_nothing_is_written_under_the_keys_of_a_collection_that_was_deleted(
    service: Service, slow: Catalog
):
    """Created again, it is another collection: the sweeper would delete rows under old keys."""
    await write(service, texts(5))
    former = (await slow.find(NAME)).row
    await service.catalog.delete(NAME)
    assert (await service.collection(NAME)).row.id != former.id
    late = documents.NewDocumentRow(
        documents.key(former.id, "d1"), "d1", "text", documents.text_hash("text"), b"{}"
    )
    indexer = Indexer(service.engine, service.models, slow)
    with pytest.raises(errors.Busy, match="deleted and created again"):
        async with indexer.stream(former, bulk=False) as stream:
            await stream.all([late], 10)
    assert await sql(service, "SELECT 1 FROM documents WHERE text = 'text'") == []
