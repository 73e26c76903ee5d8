"""Stored spaces: a model whose vectors changed is refused, an equal one is linked."""

import shutil
from pathlib import Path

import numpy as np
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding.text.chunking import Chunking
from indexing import errors
from indexing.catalog import Catalog, Collection
from indexing.documents.indexer import Indexer
from indexing.models import links
from indexing.models.pool import ModelPool
from indexing.query_log import QueryLog
from indexing.replica import Replica
from indexing.searcher import Searcher, SearchQuery
from storage import documents, pending, spaces, vectors
from tests.integration.indexing.conftest import running


async def filled(database: AsyncEngine, opened: ModelPool) -> Collection:
    catalog = Catalog(database)
    loaded = opened.default
    assert loaded is not None
    chunking = Chunking().resolve(loaded.model.tokenizer, loaded.model.space.document_prompt)
    collection, _ = await catalog.create("texts", loaded, chunking)
    await write(database, opened, collection, "frog", "a small animal that lives in ponds")
    await write(database, opened, collection, "bread", "flour, water and salt, baked in an oven")
    return collection


async def write(
    database: AsyncEngine, opened: ModelPool, collection: Collection, id_: str, body: str
) -> None:
    new = documents.NewDocumentRow(
        doc_key=documents.key(collection.row.id, id_),
        id=id_,
        text=body,
        text_hash=documents.text_hash(body),
        metadata=b"{}",
    )
    await Indexer(database, opened, Catalog(database)).write(collection.row, [new])


async def nearest(database: AsyncEngine, opened: ModelPool, query: str) -> str:
    query_log = QueryLog(keeps=False)
    replica = Replica(database, opened, query_log, serves=True)
    await replica.heartbeat()
    searcher = Searcher(database, opened, Catalog(database), query_log=query_log, replica=replica)
    return (await searcher.by_text("texts", query, SearchQuery())).nearest.hits[0].id


async def row_versions(database: AsyncEngine, collection: Collection) -> list[str]:
    """The transaction that wrote each vector: unchanged if nothing was embedded again."""
    async with database.connect() as conn:
        query = text(f"SELECT xmin::text FROM {collection.active.table} ORDER BY doc_key")
        return list((await conn.execute(query)).scalars())


async def test_linked_fingerprint_serves_the_space_without_embedding_again(
    database: AsyncEngine, original: Path, resaved: Path, model_cache: Path
) -> None:
    async with running(database, original, model_cache) as before:
        collection = await filled(database, before)
        written = await row_versions(database, collection)
    async with running(database, resaved, model_cache) as after:
        assert after.default is not None
        with pytest.raises(errors.ModelMissing, match=collection.active.fingerprint):
            await nearest(database, after, "amphibian")
        row, worst = await links.link(database, after, after.default, collection.active.fingerprint)
        assert row.fingerprint == collection.active.fingerprint
        assert 0.99999 <= worst < 1
        assert await nearest(database, after, "a pond animal") == "frog"
        await write(database, after, collection, "violin", "an instrument with four strings")
    async with running(database, resaved, model_cache) as restarted:
        assert await nearest(database, restarted, "four strings") == "violin"
    assert set(written) <= set(await row_versions(database, collection))


async def test_model_with_other_vectors_is_not_linked(
    database: AsyncEngine, original: Path, other: Path, model_cache: Path
) -> None:
    async with running(database, original, model_cache) as before:
        collection = await filled(database, before)
    async with running(database, other, model_cache) as after:
        assert after.default is not None
        with pytest.raises(errors.LinkRefused, match=r"0\.99999 is needed"):
            await links.link(database, after, after.default, collection.active.fingerprint)
        with pytest.raises(errors.ModelMissing):
            await nearest(database, after, "amphibian")


async def test_space_in_use_is_not_linked_away(
    database: AsyncEngine, original: Path, resaved: Path, model_cache: Path
) -> None:
    async with running(database, original, model_cache) as before:
        assert before.default is not None
        fingerprint = before.default.model.space.fingerprint
    async with running(database, resaved, model_cache) as after:
        await filled(database, after)
        assert after.default is not None
        with pytest.raises(errors.LinkRefused, match="already hold vectors"):
            await links.link(database, after, after.default, fingerprint)


async def test_model_is_found_again_under_another_default(
    database: AsyncEngine, original: Path, other: Path, model_cache: Path
) -> None:
    async with running(database, original, model_cache) as before:
        await filled(database, before)
    async with running(database, other, model_cache, original.parent) as after:
        assert await nearest(database, after, "a pond animal") == "frog"


async def test_files_replaced_behind_the_path_neither_write_nor_serve(
    database: AsyncEngine, original: Path, other: Path, model_cache: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "model"
    shutil.copytree(original, directory)
    async with running(database, directory, model_cache) as before:
        collection = await filled(database, before)
    shutil.rmtree(directory)
    shutil.copytree(other, directory)
    async with running(database, directory, model_cache) as after:
        with pytest.raises(errors.ModelMissing):
            await nearest(database, after, "amphibian")
        await write(database, after, collection, "frog", "a new text about frogs")
        async with database.connect() as conn:
            missing = (
                await pending.measure_coverage(conn, collection.row.id, collection.active.id)
            ).missing
        assert missing == 1


async def test_moved_canaries_refuse_the_model(
    database: AsyncEngine, original: Path, model_cache: Path
) -> None:
    async with running(database, original, model_cache) as before:
        assert before.default is not None
        space_id = before.default.space_id
    async with database.begin() as conn:
        row = await spaces.by_id(conn, space_id)
        moved = np.roll(row.canaries, 1, axis=0)
        await conn.execute(
            text("UPDATE spaces SET canaries = :moved WHERE id = :id"),
            {"moved": moved.tobytes(), "id": space_id},
        )
    async with running(database, original, model_cache) as after:
        assert after.default is None
        assert "produces other vectors" in after.problems[str(original)]


async def test_row_of_another_space_cannot_be_stored(
    database: AsyncEngine, original: Path, model_cache: Path
) -> None:
    async with running(database, original, model_cache) as opened:
        collection = await filled(database, opened)
        row = vectors.VectorRow(
            doc_key=documents.key(collection.row.id, "x"),
            chunk_no=0,
            text_hash=b"0" * 16,
            space_id=collection.active.space_id + 1,
            char_start=0,
            char_end=1,
            token_count=1,
            embedding=np.eye(1, 256, dtype=np.float32)[0],
        )
        with pytest.raises(psycopg.errors.CheckViolation, match="space_id"):
            await store(database, collection.active.id, row)


async def store(database: AsyncEngine, index_id: int, row: vectors.VectorRow) -> None:
    async with database.begin() as conn:
        await vectors.copy_in(conn, index_id, [row])
