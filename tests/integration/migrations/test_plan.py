"""A plan, measured on a real collection with real models; it leaves nothing behind."""

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
from migrations.reembed import start
from migrations.reembed.planning import plan as planning
from migrations.reembed.planning.plan import Plan, PlanSubject
from storage import engine as database
from tests.integration.migrations.spaces import BUNDLED, World, open_world, sample

TEXTS = sample(80)
PLENTY = 10**12


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    opened = database.create_engine(database_url, pool_size=5)
    yield opened
    await opened.dispose()


async def plan_for(
    world: World,
    target: Loaded,
    chunking: Chunking | None = None,
    *,
    free_bytes: int | None = PLENTY,
    hnsw_min_rows: int = 10_000,
) -> Plan:
    prompt = target.model.space.document_prompt
    cut = (chunking or Chunking()).resolve(target.model.tokenizer, prompt)
    row, active = world.source.row, world.source.active
    return await planning.make_plan(
        PlanSubject(world.engine, world.models, row, active, target, cut, free_bytes, hnsw_min_rows)
    )


async def static_plan(world: World, chunking: Chunking, **given) -> Plan:
    assert world.models.default is not None
    return await plan_for(world, world.models.default, chunking, **given)


async def left_behind(engine: AsyncEngine) -> list[tuple[object, ...]]:
    query = (
        "SELECT 'index', id::text FROM indexes UNION ALL SELECT 'table', relname FROM pg_class"
        " WHERE relname LIKE 'vectors%' ORDER BY 1, 2"
    )
    async with engine.connect() as conn:
        return [tuple(row) for row in await conn.execute(text(query))]


async def test_a_move_to_another_space(engine: AsyncEngine, static_model: Path, model_cache: Path):
    async with open_world(engine, static_model, model_cache, TEXTS) as world:
        before = await left_behind(engine)
        async with world.models.using(BUNDLED) as target:
            plan = await plan_for(world, target)
            cut = await target.model.prepare(list(TEXTS.values()), Chunking())
            started = time.perf_counter()
            chunks = [
                chunk
                for chunked in cut
                if isinstance(chunked, Prepared)
                for chunk in chunked.chunks
            ]
            await target.model.encode_chunks(chunks, Urgency.BACKFILL)
            took = time.perf_counter() - started
            again = await plan_for(world, target, free_bytes=1000, hnsw_min_rows=1)
        memory = world.models.memory_bytes
    assert await left_behind(engine) == before

    assert (plan.needed, plan.change) == (True, "space")
    assert plan.source.space.id == world.source.active.fingerprint
    assert (plan.source.dimensions, plan.target.dimensions) == (256, 384)
    assert (plan.source.max_tokens, plan.target.max_tokens) == (None, 256)
    assert plan.target.chunking == planning.PlannedChunking(
        strategy="sentence", size=256, overlap=31
    )
    # Everything was sampled, so the counts are exact.
    assert (plan.documents, plan.sampled) == (80, 80)
    assert plan.chunks == len(chunks)
    assert plan.tokens == sum(chunk.token_count for chunk in chunks)
    assert plan.cut_without_chunking == 0
    assert [rate.up_to_tokens for rate in plan.rates] == [32, 64, 128][: len(plan.rates)]
    assert all(rate.tokens_per_s > rate.chunks_per_s > 0 for rate in plan.rates)
    assert 0 < plan.seconds.low < plan.seconds.likely < plan.seconds.high
    # Whatever else runs here, it is the right order of magnitude and unit.
    assert took / 10 < plan.seconds.likely < 10 * took
    assert (plan.disk.free_bytes, plan.disk.fits) == (PLENTY, True)
    assert 0 < plan.disk.table_bytes < plan.disk.peak_bytes
    assert plan.disk.hnsw_bytes == 0
    assert plan.memory.models_bytes == memory > plan.memory.target_bytes > 0
    assert plan.memory.fits
    assert plan.write_cost.encode_ms_per_document > 0
    assert plan.write_cost.insert_ms_per_document > 0
    assert plan.warnings == []

    assert again.disk.hnsw_bytes > 0
    assert again.disk.fits is False
    assert any("disk" in warning for warning in again.warnings)
    # An insert into a graph costs many times as much as into a bare table.
    assert again.write_cost.insert_ms_per_document > 2 * plan.write_cost.insert_ms_per_document


async def test_a_disk_on_another_machine_is_not_judged(
    engine: AsyncEngine, static_model: Path, model_cache: Path
):
    async with open_world(engine, static_model, model_cache, TEXTS) as world:
        plan = await static_plan(world, Chunking("sentence", 64, 0), free_bytes=None)
    assert (plan.disk.free_bytes, plan.disk.fits) == (None, None)
    assert plan.disk.peak_bytes > 0


async def test_other_chunks_of_the_same_space(
    engine: AsyncEngine, static_model: Path, model_cache: Path
):
    async with open_world(engine, static_model, model_cache, TEXTS) as world:
        plan = await static_plan(world, Chunking("sentence", 20, 0))
        same = await static_plan(world, Chunking())
        older = dataclasses.replace(world.source.active, chunker_version=0)
        assert world.models.default is not None
        recut = start.find_change(older, world.models.default, catalog.chunking_of(older))
    assert (plan.needed, plan.change) == (True, "chunking")
    assert plan.chunks > 80
    assert recut == "chunking"
    assert "chunks" in plan.detail
    assert (same.needed, same.change, same.documents) == (False, "none", 80)
    assert (same.chunks, same.rates, same.seconds.high, same.warnings) == (0, [], 0, [])
    assert "already" in same.detail


async def test_more_documents_than_are_sampled(
    engine: AsyncEngine, static_model: Path, model_cache: Path
):
    """500 short texts, and some so long that only their beginning is read."""
    texts = {f"s{no}": f"A boat with the number {no} lies on the lake." for no in range(500)}
    texts |= {f"l{no}": f"{no} " + "The boat lies on the lake. " * 4000 for no in range(25)}
    async with open_world(engine, static_model, model_cache, texts) as world:
        assert world.models.default is not None
        plan = await static_plan(world, Chunking("sentence", 100, 10))
        tokenizer = world.models.default.model
        cut = await tokenizer.prepare(list(texts.values()), Chunking("sentence", 100, 10))
    chunks = sum(len(chunked.chunks) for chunked in cut if isinstance(chunked, Prepared))
    tokens = sum(chunked.tokens for chunked in cut if isinstance(chunked, Prepared))
    assert plan.documents == 525
    assert plan.sampled == 300
    # All sizes are known, so it hardly matters how many long texts the sample has.
    assert plan.chunks == pytest.approx(chunks, rel=0.05)
    assert plan.tokens == pytest.approx(tokens, rel=0.05)


async def test_texts_that_the_model_cannot_embed_are_warned_about(
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
        open_world(engine, static_model, model_cache, texts) as world,
        world.models.using(BUNDLED) as target,
    ):
        plan = await plan_for(world, target, Chunking("none"))
        cut = await plan_for(world, target)
    assert (plan.documents, plan.chunks, plan.cut_without_chunking) == (23, 22, 1)
    warnings = " ".join(plan.warnings)
    assert "about 1 of 23 documents are longer than 256 tokens" in warnings
    assert "about 1 of 23 documents have no token" in warnings
    assert "about 1 of 23 documents have more than 50% tokens that" in warnings
    # With chunking nothing is lost, although the model would read only the beginning.
    assert cut.cut_without_chunking == 1
    assert "longer than" not in " ".join(cut.warnings)


async def test_an_empty_collection_takes_nothing(
    engine: AsyncEngine, static_model: Path, model_cache: Path
):
    async with open_world(engine, static_model, model_cache, {}) as world:
        plan = await static_plan(world, Chunking("none"))
    assert (plan.needed, plan.documents, plan.chunks, plan.sampled) == (True, 0, 0, 0)
    assert (plan.seconds.high, plan.disk.peak_bytes, plan.rates) == (0, 0, [])
    assert "no documents" in plan.detail


async def test_too_little_memory_is_warned_about(
    engine: AsyncEngine, static_model: Path, model_cache: Path
):
    async with open_world(engine, static_model, model_cache, TEXTS, limit=1) as world:
        plan = await static_plan(world, Chunking("sentence", 64, 0))
    assert not plan.memory.fits
    assert plan.memory.limit_bytes == 1
    assert any("VECMARK_MODEL_MEMORY" in warning for warning in plan.warnings)


@pytest.mark.parametrize(
    ("seconds", "formatted"),
    [
        (3, "3 s"),
        (119, "119 s"),
        (150, "2.5 min"),
        (3000, "50 min"),
        (9000, "2.5 h"),
        (2e5, "2.3 days"),
    ],
)
def test_a_duration_is_formatted_for_people(seconds: float, formatted: str):
    assert planning.format_duration(seconds) == formatted
