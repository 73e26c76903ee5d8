"""A collection in a static model's space, and a second index filled by the bundled model."""

import contextlib
import dataclasses
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from embedding.text.chunking import Chunking
from indexing.catalog import Catalog, Collection, chunking_of, index_chunking
from indexing.documents.text_vectors import TextVectors, embed_texts
from indexing.models.loaded import Loaded
from indexing.models.pool import ModelPool
from migrations.reembed.migration import Options
from migrations.reembed.verifying.verification import Subject
from storage import documents, indexes, query_samples, vectors
from storage.indexes import IndexRow
from storage.migrations import MigrationRow
from tests.integration.indexing.conftest import running

SAMPLE = Path(__file__).parents[3] / "examples/sample.jsonl"
BUNDLED = "bundled"
SEARCHES = [
    "a small animal that lives in water", "instrument with strings", "part of a ship",
    "person who sells things", "feeling of great joy", "a kind of bread", "tall plant with leaves",
    "vehicle with two wheels", "room for cooking", "light from the sun", "to move very fast",
    "covering for the head", "bird that hunts at night", "stone of great value",
    "liquid that is drunk hot", "game played with a ball", "machine that lifts loads",
    "science of the stars", "illness of the lungs", "soft metal", "a long journey by sea",
    "building for prayer", "tool that cuts wood", "a piece of written music",
]  # fmt: skip


def sample(count: int) -> dict[str, str]:
    lines = SAMPLE.read_text().splitlines()[:count]
    return {line["id"]: line["text"] for line in map(json.loads, lines)}


@dataclasses.dataclass(frozen=True)
class World:
    """`models` has the static model as its default, and loads the bundled one on demand."""

    engine: AsyncEngine
    models: ModelPool
    source: Collection
    texts: Mapping[str, str]

    def items(self) -> list[documents.NewDocumentRow]:
        return [new(self.source, id_, text) for id_, text in self.texts.items()]


def new(collection: Collection, id_: str, text: str) -> documents.NewDocumentRow:
    key = documents.key(collection.row.id, id_)
    return documents.NewDocumentRow(key, id_, text, documents.text_hash(text), b"{}")


@contextlib.asynccontextmanager
async def open_world(
    engine: AsyncEngine,
    directory: Path,
    cache: Path,
    texts: Mapping[str, str],
    *,
    limit: int | None = None,
) -> AsyncIterator[World]:
    async with running(engine, directory, cache, limit=limit) as models:
        loaded = models.default
        assert loaded is not None
        chunking = Chunking().resolve(loaded.model.tokenizer, loaded.model.space.document_prompt)
        collection, _ = await Catalog(engine).create("texts", loaded, chunking)
        world = World(engine, models, collection, texts)
        if texts:
            async with engine.begin() as conn:
                await documents.upsert(conn, collection.row.id, world.items())
            await fill(world, loaded, collection.active)
        yield world


async def target(world: World, loaded: Loaded, chunking: Chunking | None = None) -> IndexRow:
    """A building index in the space of `loaded`, without vectors."""
    space = loaded.model.space
    cut = (chunking or Chunking()).resolve(loaded.model.tokenizer, space.document_prompt)
    async with world.engine.begin() as conn:
        index_id = await indexes.create(
            conn,
            collection_id=world.source.row.id,
            space_id=loaded.space_id,
            dimensions=space.dimensions,
            chunking=index_chunking(cut),
            state="building",
        )
        row = await indexes.by_id(conn, index_id)
    assert row is not None
    return row


async def fill(
    world: World, loaded: Loaded, index: IndexRow, *, without: Sequence[str] = ()
) -> None:
    items = [item for item in world.items() if item.id not in without]
    done = await embed_texts(loaded, [item.text for item in items], chunking_of(index))
    rows = [
        row
        for item, result in zip(items, done, strict=True)
        if isinstance(result, TextVectors)
        for row in result.rows(item.doc_key, item.text_hash)
    ]
    async with world.engine.begin() as conn:
        await vectors.copy_in(conn, index.id, rows)


async def record_searches(world: World, texts: Sequence[str]) -> None:
    async with world.engine.begin() as conn:
        await query_samples.record(conn, world.source.row.id, texts)


def subject(
    world: World,
    index: IndexRow,
    *,
    models: ModelPool | None = None,
    options: Options | None = None,
    golden: Sequence[Mapping[str, object]] | None = None,
) -> Subject:
    """A migration to `index` as if it were stored, always with the same id."""
    now = datetime.now(UTC)
    row = MigrationRow(
        id=uuid.UUID(int=7),
        collection_id=world.source.row.id,
        source_index_id=world.source.active.id,
        target_index_id=index.id,
        state="verifying",
        resume_state=None,
        options={},
        sides={},
        golden=golden,
        history=[],
        report=None,
        error=None,
        waiting=None,
        lease_owner=None,
        lease_epoch=0,
        lease_until=None,
        next_batch_at=None,
        retained_until=None,
        created_at=now,
        updated_at=now,
    )
    return Subject(
        world.engine,
        models or world.models,
        row,
        world.source.row,
        world.source.active,
        index,
        options or Options(),
    )
