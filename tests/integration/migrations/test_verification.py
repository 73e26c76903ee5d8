"""What a verification measures, with two real models and a real database."""

import dataclasses
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from api.schemas import reports as report_schemas
from api.services import report_page
from indexing.errors import ModelMissing
from migrations.reembed.migration import Gates, Options
from migrations.reembed.verifying.report import Report
from migrations.reembed.verifying.side import ComparedSide
from migrations.reembed.verifying.verification import SOURCE_GONE, verify
from storage import engine as database
from storage import hnsw, pending, vectors
from storage.indexes import IndexRow
from tests.integration.indexing.conftest import running
from tests.integration.migrations.spaces import (
    BUNDLED,
    SEARCHES,
    World,
    fill,
    open_world,
    record_searches,
    sample,
    subject,
    target,
)

TEXTS = sample(80)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    opened = database.create_engine(database_url, pool_size=5)
    yield opened
    await opened.dispose()


@pytest.fixture
async def world(engine: AsyncEngine, static_model: Path, model_cache: Path) -> AsyncIterator[World]:
    async with open_world(engine, static_model, model_cache, TEXTS) as world:
        await record_searches(world, SEARCHES)
        yield world


async def bundled(world: World, *, without: tuple[str, ...] = ()) -> IndexRow:
    """The target, filled except for `without`; its model stays loaded if memory allows."""
    async with world.models.using(BUNDLED) as loaded:
        index = await target(world, loaded)
        await fill(world, loaded, index, without=without)
    return index


async def first(world: World, index: IndexRow) -> dict[str, str]:
    """The nearest document of each search, by an exact search in one of the indexes."""
    engine = world.engine.execution_options(isolation_level="AUTOCOMMIT")
    with world.models.for_index(index) as loaded:
        side = ComparedSide(engine, index, loaded)
        nearest = {}
        for query in SEARCHES:
            vector = await side.encode(query)
            assert vector is not None
            nearest[query] = (await side.nearest(vector, 1, exact=True))[0].id
    return nearest


def golden(judged: dict[str, str]) -> list[dict[str, object]]:
    return [{"q": query, "relevant": {id_: 1}} for query, id_ in judged.items()]


def gates(report: Report) -> dict[str, bool]:
    assert report.verdict.passed == all(gate.passed for gate in report.verdict.gates)
    return {gate.name: gate.passed for gate in report.verdict.gates}


async def test_everything_is_measured_in_both_spaces(world: World):
    index = await bundled(world)
    judged = await first(world, index)
    options = Options(gates=Gates(recall=0.98, ndcg_drop=0.0, overlap=0.05))
    report = await verify(subject(world, index, options=options, golden=golden(judged)))

    assert (report.coverage.documents, report.coverage.missing) == (80, 0)
    assert (report.recall.value, report.recall.path) == (1, "exact")
    assert (report.queries.count, report.queries.source) == (len(SEARCHES), "searches")
    assert report.overlap is not None
    assert 0.05 < report.overlap.mean < 0.95
    assert report.overlap.rank_shift > 0
    assert report.latency.old is not None
    assert 0 < report.latency.old.p50_ms <= report.latency.old.p95_ms
    assert 0 < report.latency.new.p50_ms <= report.latency.new.p95_ms
    # What the new space finds first is judged relevant, so the new space is perfect.
    assert report.ndcg is not None
    assert report.ndcg.new == pytest.approx(1.0)
    assert report.ndcg.queries == len(SEARCHES)
    assert report.ndcg.old is not None
    assert report.ndcg.old < 0.95
    assert report.ndcg.drop == pytest.approx(report.ndcg.old - report.ndcg.new)
    assert report.unavailable == {}
    assert gates(report) == dict.fromkeys(["coverage", "recall", "ndcg_drop", "overlap"], True)
    assert (
        Report.from_stored(msgspec.json.decode(msgspec.json.encode(report.to_stored()))) == report
    )
    assert "Verdict: PASSED" in report_page.render("texts", report_schemas.report(report))


async def test_scores_of_the_old_space_are_translated(world: World):
    index = await bundled(world)
    report = (await verify(subject(world, index))).translation
    assert report is not None
    # The two lists of 50 contain between 50 and all 80 documents.
    assert len(SEARCHES) * 50 <= report.pairs <= len(SEARCHES) * 80
    assert [point.old for point in report.points] == sorted(point.old for point in report.points)
    assert [point.new for point in report.points] == sorted(point.new for point in report.points)
    assert all(-1 <= point.new <= 1 and 0 < point.error < 0.2 for point in report.points)
    assert 0.05 < report.disagreement < 0.95


async def test_a_space_that_is_the_same_shows_no_change(world: World):
    """Only its row says that it is another index."""
    assert world.models.default is not None
    index = await target(world, world.models.default)
    await fill(world, world.models.default, index)
    report = await verify(subject(world, index))
    assert report.overlap is not None
    assert (report.overlap.mean, report.overlap.rank_shift) == (1, 0)
    assert report.most_changed == []
    assert report.translation is not None
    assert report.translation.disagreement == pytest.approx(0, abs=0.01)
    for point in report.translation.points:
        assert point.new == pytest.approx(point.old, abs=1e-4)


async def test_the_most_changed_queries_show_what_each_space_finds(world: World):
    index = await bundled(world)
    old, new = await first(world, world.source.active), await first(world, index)
    report = await verify(subject(world, index))
    assert len(report.most_changed) == 10
    assert report.overlap is not None
    assert report.most_changed[0].overlap < report.overlap.mean
    assert [query.overlap for query in report.most_changed] == sorted(
        query.overlap for query in report.most_changed
    )
    for query in report.most_changed:
        assert (query.old[0].id, query.new[0].id) == (old[query.q], new[query.q])
        assert len(query.old) == len(query.new) == 10
        both = {result.id for result in query.old} & {result.id for result in query.new}
        assert query.overlap == len(both) / 10
        for result in (*query.old, *query.new):
            assert len(result.text) <= 200
            assert result.text.removesuffix("\u2026") in TEXTS[result.id]


async def test_a_target_that_finds_less_does_not_pass(world: World):
    """Judged by what the old space finds first, so the old space is perfect."""
    index = await bundled(world)
    judged = await first(world, world.source.active)
    options = Options(gates=Gates(ndcg_drop=0.01, overlap=0.99))
    report = await verify(subject(world, index, options=options, golden=golden(judged)))
    assert report.ndcg is not None
    assert report.ndcg.old == pytest.approx(1.0)
    assert report.ndcg.drop is not None
    assert report.ndcg.drop > 0.05
    assert gates(report) == {"coverage": True, "recall": True, "ndcg_drop": False, "overlap": False}


async def test_judged_documents_that_are_not_there_are_counted(world: World):
    index = await bundled(world)
    exact = next(iter(TEXTS))
    queries = [
        {"q": TEXTS[exact], "relevant": {exact: 2, "gone": 3}},
        {"q": "a boat", "relevant": {"gone": 1, "never was": 1}},
        {"q": "a boat", "relevant": {exact: 0}},
        {"q": " ", "relevant": {exact: 1}},
    ]
    await record_searches(world, [" "])  # has a vector in the old space only
    report = await verify(subject(world, index, golden=queries))
    assert (report.queries.count, len(SEARCHES)) == (24, 24)
    assert "1 of 25 queries" in report.unavailable["queries"]
    assert report.ndcg is not None
    # Both spaces find the text itself, and missing documents do not count against them.
    assert (report.ndcg.old, report.ndcg.new, report.ndcg.queries) == (1, 1, 1)
    assert "2 of 3 judged documents" in report.unavailable["golden"]
    assert "3 of 4 golden queries" in report.unavailable["golden"]

    options = Options(gates=Gates(ndcg_drop=0.5))
    report = await verify(subject(world, index, golden=queries[1:3], options=options))
    assert report.ndcg is None
    assert "no golden query" in report.unavailable["ndcg"]
    assert gates(report)["ndcg_drop"] is False


async def test_without_the_source_model_the_rest_is_measured(
    world: World, engine: AsyncEngine, model_cache: Path
):
    index = await bundled(world)
    judged = await first(world, index)
    options = Options(gates=Gates(ndcg_drop=1.0, overlap=0.0))
    # A machine with only the bundled model.
    async with running(engine, BUNDLED, model_cache) as models:
        assert not models.has_space(world.source.active.space_id)
        report = await verify(
            subject(world, index, models=models, options=options, golden=golden(judged))
        )
    assert (report.overlap, report.translation, report.latency.old) == (None, None, None)
    assert report.most_changed == []
    assert report.latency.new.p50_ms > 0
    assert report.ndcg is not None
    assert (report.ndcg.old, report.ndcg.drop) == (None, None)
    assert report.ndcg.new == pytest.approx(1.0)
    assert report.unavailable == dict.fromkeys(
        ["overlap", "translation", "latency.old", "ndcg.old"], SOURCE_GONE
    )
    assert gates(report) == {"coverage": True, "recall": True, "ndcg_drop": False, "overlap": False}
    assert SOURCE_GONE in report_page.render("texts", report_schemas.report(report))


async def test_without_the_target_model_nothing_is_verified(
    world: World, engine: AsyncEngine, static_model: Path, model_cache: Path
):
    index = await bundled(world)
    other = dataclasses.replace(index, space_id=30_000)
    with pytest.raises(ModelMissing):
        await verify(subject(world, other))


async def test_documents_that_the_target_lacks(world: World):
    lacking = list(TEXTS)[:3]
    index = await bundled(world, without=tuple(lacking))
    report = await verify(subject(world, index))
    assert (report.coverage.missing, report.coverage.waived) == (3, 0)
    assert gates(report) == {"coverage": False, "recall": True}
    failed = [item for item in world.items() if item.id in lacking[:2]]
    async with world.engine.begin() as conn:
        failures = [(item.doc_key, item.text_hash, "encoder-failed") for item in failed]
        await pending.set_aside(conn, index.id, failures)
    waiving = Options(waive_failed=True)
    report = await verify(subject(world, index))
    assert report.coverage.waived == 0
    report = await verify(subject(world, index, options=waiving))
    assert (report.coverage.missing, report.coverage.waived) == (3, 2)
    assert gates(report)["coverage"] is False
    async with world.engine.begin() as conn:
        third = next(item for item in world.items() if item.id == lacking[2])
        failure = (third.doc_key, third.text_hash, "no-tokens")
        await pending.set_aside(conn, index.id, [failure])
    report = await verify(subject(world, index, options=waiving))
    assert gates(report)["coverage"] is True


async def test_recall_is_that_of_the_hnsw_index_as_it_is_served(world: World):
    """A graph with two neighbours per vector, over random vectors, can't find much."""
    index = await bundled(world)
    rng = np.random.default_rng(1)
    random = rng.normal(size=(4000, index.dimensions))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    rows = [
        vectors.VectorRow(uuid.uuid4(), 0, bytes(16), index.space_id, 0, 0, 0, vector)
        for vector in random.astype(np.float32)
    ]
    async with world.engine.begin() as conn:
        await vectors.copy_in(conn, index.id, rows)
        await conn.execute(
            text(
                f"CREATE INDEX {hnsw.name(index.id)} ON {index.table} USING hnsw"
                " (embedding halfvec_cosine_ops) WITH (m = 2, ef_construction = 4)"
            )
        )
    served = dataclasses.replace(index, hnsw="ready", ef_search=10)
    report = await verify(subject(world, served))
    assert (report.recall.path, report.recall.ef_search) == ("hnsw", 10)
    assert report.recall.queries == len(SEARCHES)
    assert 0 < report.recall.value < 0.9
    assert gates(report) == {"coverage": True, "recall": False}
    assert gates(await verify(subject(world, index)))["recall"] is True


async def test_few_searches_are_filled_up_with_sentences_of_documents(
    engine: AsyncEngine, static_model: Path, model_cache: Path
):
    async with open_world(engine, static_model, model_cache, TEXTS) as world:
        await record_searches(world, [*SEARCHES[:5], ""])
        assert world.models.default is not None
        index = await target(world, world.models.default)
        await fill(world, world.models.default, index, without=list(TEXTS)[:40])
        report = await verify(subject(world, index))
        again = await verify(subject(world, index))
        await record_searches(world, SEARCHES)
        mostly = await verify(subject(world, index))
    assert report.queries.source == "documents"
    assert 80 < report.queries.count <= 200
    assert "1 of " in report.unavailable["queries"]
    # The same queries and figures, except for times.
    timed = {"created_at": report.created_at, "latency": report.latency}
    assert msgspec.structs.replace(again, **timed) == report
    assert (mostly.queries.source, mostly.queries.count) == ("searches", len(SEARCHES))


async def test_an_empty_collection_is_verified(
    engine: AsyncEngine, static_model: Path, model_cache: Path
):
    async with open_world(engine, static_model, model_cache, {}) as world:
        assert world.models.default is not None
        index = await target(world, world.models.default)
        for _ in range(2):
            report = await verify(subject(world, index))
            assert (report.coverage.documents, report.overlap, report.translation) == (
                0,
                None,
                None,
            )
            assert report.unavailable.keys() == {"overlap", "translation", "ndcg"}
            assert gates(report) == {"coverage": True, "recall": True}
            page = report_page.render("texts", report_schemas.report(report))
            assert "Verdict: complete; quality was not judged (no golden queries)" in page
            await record_searches(world, SEARCHES)
