"""The scores of chosen documents equal those of a search."""

import numpy as np
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from api.service import Service
from storage import documents, search
from tests.integration.conftest import write


def autocommit(service: Service) -> AsyncConnection:
    return service.engine.execution_options(isolation_level="AUTOCOMMIT").connect()


async def test_scores_are_those_of_a_search_by_the_best_chunk(service: Service):
    """The first document has many chunks, of which only the last is near the query."""
    far = "The boat lies on the lake. " * 300
    await write(
        service, {"long": far + "Bread is baked in an oven.", "short": "a loaf of bread", "x": "y"}
    )
    collection = await service.collection("default")
    index = collection.active
    with service.models.for_index(index) as loaded:
        vector = (await loaded.model.encode_query("bread from the oven")).vectors[0]
    keys = {id_: documents.key(collection.row.id, id_) for id_ in ("long", "short", "x", "gone")}
    async with autocommit(service) as conn:
        query = search.Query(vector=vector, limit=3, exact=True)
        hits = (await search.nearest(conn, index, query)).hits
        assert next(hit.chunk_no for hit in hits if hit.id == "long") > 1
        scores = await search.score_documents(conn, index, vector, keys.values())
        assert scores == {hit.doc_key: pytest.approx(hit.score) for hit in hits}
        assert await search.score_documents(conn, index, vector, [keys["x"]]) == {
            keys["x"]: scores[keys["x"]]
        }
        assert await search.score_documents(conn, index, vector, []) == {}


async def test_vectors_of_another_text_have_no_score(service: Service):
    await write(service, {"a": "a boat"})
    collection = await service.collection("default")
    changed = documents.NewDocumentRow(
        documents.key(collection.row.id, "a"), "a", "b", documents.text_hash("b"), b"{}"
    )
    async with service.engine.begin() as conn:
        await documents.upsert(conn, collection.row.id, [changed])
    vector = np.ones(collection.active.dimensions, np.float32)
    async with autocommit(service) as conn:
        assert (
            await search.score_documents(conn, collection.active, vector, [changed.doc_key]) == {}
        )
