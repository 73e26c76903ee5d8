"""A plan, measured on a real collection with real models; nothing of it stays behind."""

import dataclasses
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding.scheduling.queue import Urgency
from embedding.text.chunking import Chunking, Prepared
from indexing import catalog
from indexing.models.loaded import Loaded
from migrations.reembed.planning import plan
from migrations.reembed.planning.plan import Plan, PlanSubject
from storage import engine as database
from tests.integration.migrations.spaces import BUNDLED, World, sample, world

TEXTS = sample(80)
PLENTY = 10**12


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    opened = database.create_engine(database_url, pool_size=5)
    yield opened
    await opened.dispose()


async def planned(
    found: World,
    target: Loaded,
    chunking: Chunking | None = None,
    *,
    free_bytes: int | None = PLENTY,
    hnsw_min_rows: int = 10_000,
) -> Plan:
    prompt = target.model.space.document_prompt
    cut = (chunking or Chunking()).resolve(target.model.tokenizer, prompt)
    row, active = found.source.row, found.source.active
    return await plan.make_plan(
        PlanSubject(found.engine, found.models, row, active, target, cut, free_bytes, hnsw_min_rows)
    )


async def static_plan(found: World, chunking: Chunking, **given) -> Plan:
    assert found.models.default is not None
    return await planned(found, found.models.default, chunking, **given)


async def left_behind(engine: AsyncEngine) -> list[tuple[object, ...]]:
    query = (
        "SELECT 'index', id::text FROM indexes UNION ALL SELECT 'table', relname FROM pg_class"
        " WHERE relname LIKE 'vectors%' ORDER BY 1, 2"
    )
    async with engine.connect() as conn:
        return [tuple(row) for row in await conn.execute(text(query))]


async def test_a_move_to_another_space(engine: AsyncEngine, static_model: Path, model_cache: Path):
    async with world(engine, static_model, model_cache, TEXTS) as found:
        before = await left_behind(engine)
        async with found.models.using(BUNDLED) as target:
            made = await planned(found, target)
            cut = await target.model.prepare(list(TEXTS.values()), Chunking())
            started = time.perf_counter()
            chunks = [chunk for one in cut if isinstance(one, Prepared) for chunk in one.chunks]
            await target.model.encode_chunks(chunks, Urgency.BACKFILL)
            took = time.perf_counter() - started
            again = await planned(found, target, free_bytes=1000, hnsw_min_rows=1)
        memory = found.models.memory_bytes
    assert await left_behind(engine) == before

    assert (made.needed, made.change) == (True, "space")
    assert made.source.space.id == found.source.active.fingerprint
    assert (made.source.dimensions, made.target.dimensions) == (256, 384)
    assert (made.source.max_tokens, made.target.max_tokens) == (None, 256)
    assert made.target.chunking == plan.PlannedChunking(strategy="sentence", size=256, overlap=31)
    # All of it was sampled, so what was counted is what is there.
    assert (made.documents, made.sampled) == (80, 80)
    assert made.chunks == len(chunks)
    assert made.tokens == sum(chunk.token_count for chunk in chunks)
    assert made.cut_without_chunking == 0
    assert [one.up_to_tokens for one in made.rates] == [32, 64, 128][: len(made.rates)]
    assert all(one.tokens_per_s > one.chunks_per_s > 0 for one in made.rates)
    assert 0 < made.seconds.low < made.seconds.likely < made.seconds.high
    # Whatever else runs here: not the wrong order of magnitude, nor milliseconds for seconds.
    assert took / 10 < made.seconds.likely < 10 * took
    assert (made.disk.free_bytes, made.disk.fits) == (PLENTY, True)
    assert 0 < made.disk.table_bytes < made.disk.peak_bytes
    assert made.disk.hnsw_bytes == 0
    assert made.memory.models_bytes == memory > made.memory.target_bytes > 0
    assert made.memory.fits
    assert made.write_cost.encode_ms_per_document > 0
    assert made.write_cost.insert_ms_per_document > 0
    assert made.warnings == []

    assert again.disk.hnsw_bytes > 0
    assert again.disk.fits is False
    assert any("disk" in one for one in again.warnings)
    # An insert into a graph costs many times that into a bare table.
    assert again.write_cost.insert_ms_per_document > 2 * made.write_cost.insert_ms_per_document


async def test_where_the_disk_is_elsewhere_it_is_not_judged(
    engine: AsyncEngine, static_model: Path, model_cache: Path
):
    async with world(engine, static_model, model_cache, TEXTS) as found:
        made = await static_plan(found, Chunking("sentence", 64, 0), free_bytes=None)
    assert (made.disk.free_bytes, made.disk.fits) == (None, None)
    assert made.disk.peak_bytes > 0


async def test_other_chunks_of_the_same_space(
    engine: AsyncEngine, static_model: Path, model_cache: Path
):
    async with world(engine, static_model, model_cache, TEXTS) as found:
        made = await static_plan(found, Chunking("sentence", 20, 0))
        same = await static_plan(found, Chunking())
        older = dataclasses.replace(found.source.active, chunker_version=0)
        assert found.models.default is not None
        recut = plan.find_change(older, found.models.default, catalog.chunking_of(older))
    assert (made.needed, made.change) == (True, "chunking")
    assert made.chunks > 80
    assert recut == "chunking"
    assert "chunks" in made.detail
    assert (same.needed, same.change, same.documents) == (False, "none", 80)
    assert (same.chunks, same.rates, same.seconds.high, same.warnings) == (0, [], 0, [])
    assert "already" in same.detail


async def test_more_documents_than_are_sampled(
    engine: AsyncEngine, static_model: Path, model_cache: Path
):
    """Half a thousand short ones, and some so long that only their beginning is read."""
    texts = {f"s{no}": f"A boat with the number {no} lies on the lake." for no in range(500)}
    texts |= {f"l{no}": f"{no} " + "The boat lies on the lake. " * 4000 for no in range(25)}
    async with world(engine, static_model, model_cache, texts) as found:
        assert found.models.default is not None
        made = await static_plan(found, Chunking("sentence", 100, 10))
        tokenizer = found.models.default.model
        cut = await tokenizer.prepare(list(texts.values()), Chunking("sentence", 100, 10))
    chunks = sum(len(one.chunks) for one in cut if isinstance(one, Prepared))
    tokens = sum(one.tokens for one in cut if isinstance(one, Prepared))
    assert made.documents == 525
    assert made.sampled == 300
    # Their sizes are known of all, so it hardly matters how many long ones the sample has.
    assert made.chunks == pytest.approx(chunks, rel=0.05)
    assert made.tokens == pytest.approx(tokens, rel=0.05)


async def test_texts_that_the_model_cannot_take_are_warned_of(
    engine: AsyncEngine, static_model: Path, model_cache: Path
):
    runes = " ".join(chr(0x16A0 + no) * 3 for no in range(20))
    texts = {
        **sample(20),
        "runes": runes,
        "long": "The boat lies on the lake. " * 100,
        "nothing": " ",
    }
    async with (
        world(engine, static_model, model_cache, texts) as found,
        found.models.using(BUNDLED) as target,
    ):
        made = await planned(found, target, Chunking("none"))
        cut = await planned(found, target)
    assert (made.documents, made.chunks, made.cut_without_chunking) == (23, 22, 1)
    said = " ".join(made.warnings)
    assert "about 1 of 23 documents are longer than 256 tokens" in said
    assert "about 1 of 23 documents have no token" in said
    assert "about 1 of 23 documents have over 50% tokens that are unknown" in said
    # Chunks lose nothing, though the model would still read the beginning only.
    assert cut.cut_without_chunking == 1
    assert "longer than" not in " ".join(cut.warnings)


async def test_an_empty_collection_takes_nothing(
    engine: AsyncEngine, static_model: Path, model_cache: Path
):
    async with world(engine, static_model, model_cache, {}) as found:
        made = await static_plan(found, Chunking("none"))
    assert (made.needed, made.documents, made.chunks, made.sampled) == (True, 0, 0, 0)
    assert (made.seconds.high, made.disk.peak_bytes, made.rates) == (0, 0, [])
    assert "no documents" in made.detail


async def test_memory_that_does_not_suffice_is_warned_of(
    engine: AsyncEngine, static_model: Path, model_cache: Path
):
    async with world(engine, static_model, model_cache, TEXTS, limit=1) as found:
        made = await static_plan(found, Chunking("sentence", 64, 0))
    assert not made.memory.fits
    assert made.memory.limit_bytes == 1
    assert any("VECMARK_MODEL_MEMORY" in one for one in made.warnings)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (3, "3 s"),
        (119, "119 s"),
        (150, "2.5 min"),
        (3000, "50 min"),
        (9000, "2.5 h"),
        (2e5, "2.3 days"),
    ],
)
def test_a_time_is_shown_for_a_person(seconds: float, shown: str):
    assert plan.format_duration(seconds) == shown
