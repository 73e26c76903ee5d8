"""What is found out about a target, with two real models over a real database."""

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
    sample,
    searched,
    subject,
    target,
    world,
)

TEXTS = sample(80)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    opened = database.create_engine(database_url, pool_size=5)
    yield opened
    await opened.dispose()


@pytest.fixture
async def found(engine: AsyncEngine, static_model: Path, model_cache: Path) -> AsyncIterator[World]:
    async with world(engine, static_model, model_cache, TEXTS) as found:
        await searched(found, SEARCHES)
        yield found


async def bundled(found: World, *, without: tuple[str, ...] = ()) -> IndexRow:
    """The target, filled but for `without`; its model stays loaded where there is memory."""
    async with found.models.using(BUNDLED) as loaded:
        index = await target(found, loaded)
        await fill(found, loaded, index, without=without)
    return index


async def first(found: World, index: IndexRow) -> dict[str, str]:
    """The nearest document of each search, by an exact search in one of the indexes."""
    engine = found.engine.execution_options(isolation_level="AUTOCOMMIT")
    with found.models.held(index) as loaded:
        side = ComparedSide(engine, index, loaded)
        nearest = {}
        for query in SEARCHES:
            vector = await side.encode(query)
            assert vector is not None
            nearest[query] = (await side.nearest(vector, 1, exact=True))[0].id
    return nearest


def golden(judged: dict[str, str]) -> list[dict[str, object]]:
    return [{"q": query, "relevant": {id_: 1}} for query, id_ in judged.items()]


def gates(made: Report) -> dict[str, bool]:
    assert made.verdict.passed == all(gate.passed for gate in made.verdict.gates)
    return {gate.name: gate.passed for gate in made.verdict.gates}


async def test_everything_is_measured_in_both_spaces(found: World):
    index = await bundled(found)
    judged = await first(found, index)
    options = Options(gates=Gates(recall=0.98, ndcg_drop=0.0, overlap=0.05))
    made = await verify(subject(found, index, options=options, golden=golden(judged)))

    assert (made.coverage.documents, made.coverage.missing) == (80, 0)
    assert (made.recall.value, made.recall.path) == (1, "exact")
    assert (made.queries.count, made.queries.source) == (len(SEARCHES), "searches")
    assert made.overlap is not None
    assert 0.05 < made.overlap.mean < 0.95
    assert made.overlap.rank_shift > 0
    assert made.latency.old is not None
    assert 0 < made.latency.old.p50_ms <= made.latency.old.p95_ms
    assert 0 < made.latency.new.p50_ms <= made.latency.new.p95_ms
    # What the new space finds first was judged relevant: it is perfect, the old one is not.
    assert made.ndcg is not None
    assert made.ndcg.new == pytest.approx(1.0)
    assert made.ndcg.queries == len(SEARCHES)
    assert made.ndcg.old is not None
    assert made.ndcg.old < 0.95
    assert made.ndcg.drop == pytest.approx(made.ndcg.old - made.ndcg.new)
    assert made.unavailable == {}
    assert gates(made) == dict.fromkeys(["coverage", "recall", "ndcg_drop", "overlap"], True)
    assert Report.from_stored(msgspec.json.decode(msgspec.json.encode(made.to_stored()))) == made
    assert "PASSED" in report_page.render("texts", report_schemas.report(made))


async def test_scores_of_the_old_space_are_translated(found: World):
    index = await bundled(found)
    made = (await verify(subject(found, index))).translation
    assert made is not None
    # Of 80 documents the two lists of 50 hold between 50 and all.
    assert len(SEARCHES) * 50 <= made.pairs <= len(SEARCHES) * 80
    assert [point.old for point in made.points] == sorted(point.old for point in made.points)
    assert [point.new for point in made.points] == sorted(point.new for point in made.points)
    assert all(-1 <= point.new <= 1 and 0 < point.error < 0.2 for point in made.points)
    assert 0.05 < made.disagreement < 0.95


async def test_a_space_that_is_the_same_shows_no_change(found: World):
    """Only the row says that it is another index."""
    assert found.models.default is not None
    index = await target(found, found.models.default)
    await fill(found, found.models.default, index)
    made = await verify(subject(found, index))
    assert made.overlap is not None
    assert (made.overlap.mean, made.overlap.rank_shift) == (1, 0)
    assert made.most_changed == []
    assert made.translation is not None
    assert made.translation.disagreement == pytest.approx(0, abs=0.01)
    for point in made.translation.points:
        assert point.new == pytest.approx(point.old, abs=1e-4)


async def test_the_most_changed_queries_show_what_each_space_finds(found: World):
    index = await bundled(found)
    old, new = await first(found, found.source.active), await first(found, index)
    made = await verify(subject(found, index))
    assert len(made.most_changed) == 10
    assert made.overlap is not None
    assert made.most_changed[0].overlap < made.overlap.mean
    assert [one.overlap for one in made.most_changed] == sorted(
        one.overlap for one in made.most_changed
    )
    for one in made.most_changed:
        assert (one.old[0].id, one.new[0].id) == (old[one.q], new[one.q])
        assert len(one.old) == len(one.new) == 10
        both = {shown.id for shown in one.old} & {shown.id for shown in one.new}
        assert one.overlap == len(both) / 10
        for shown in (*one.old, *one.new):
            assert len(shown.text) <= 200
            assert shown.text.removesuffix("\u2026") in TEXTS[shown.id]


async def test_a_target_that_finds_less_does_not_pass(found: World):
    """GoldenScores by what the old space finds first: it is perfect."""
    index = await bundled(found)
    judged = await first(found, found.source.active)
    options = Options(gates=Gates(ndcg_drop=0.01, overlap=0.99))
    made = await verify(subject(found, index, options=options, golden=golden(judged)))
    assert made.ndcg is not None
    assert made.ndcg.old == pytest.approx(1.0)
    assert made.ndcg.drop is not None
    assert made.ndcg.drop > 0.05
    assert gates(made) == {"coverage": True, "recall": True, "ndcg_drop": False, "overlap": False}


async def test_judged_documents_that_are_not_there_are_counted(found: World):
    index = await bundled(found)
    exact = next(iter(TEXTS))
    given = [
        {"q": TEXTS[exact], "relevant": {exact: 2, "gone": 3}},
        {"q": "a boat", "relevant": {"gone": 1, "never was": 1}},
        {"q": "a boat", "relevant": {exact: 0}},
        {"q": " ", "relevant": {exact: 1}},
    ]
    await searched(found, [" "])  # has a vector in the old space only
    made = await verify(subject(found, index, golden=given))
    assert (made.queries.count, len(SEARCHES)) == (24, 24)
    assert "1 of 25 queries" in made.unavailable["queries"]
    assert made.ndcg is not None
    # The text itself: both find it, and what is gone is not held against them.
    assert (made.ndcg.old, made.ndcg.new, made.ndcg.queries) == (1, 1, 1)
    assert "2 of 3 judged documents" in made.unavailable["golden"]
    assert "3 of 4 golden queries" in made.unavailable["golden"]

    options = Options(gates=Gates(ndcg_drop=0.5))
    made = await verify(subject(found, index, golden=given[1:3], options=options))
    assert made.ndcg is None
    assert "no golden query" in made.unavailable["ndcg"]
    assert gates(made)["ndcg_drop"] is False


async def test_without_the_source_model_the_rest_is_measured(
    found: World, engine: AsyncEngine, model_cache: Path
):
    index = await bundled(found)
    judged = await first(found, index)
    options = Options(gates=Gates(ndcg_drop=1.0, overlap=0.0))
    # A machine that has the bundled model only.
    async with running(engine, BUNDLED, model_cache) as models:
        assert not models.has(found.source.active.space_id)
        made = await verify(
            subject(found, index, models=models, options=options, golden=golden(judged))
        )
    assert (made.overlap, made.translation, made.latency.old) == (None, None, None)
    assert made.most_changed == []
    assert made.latency.new.p50_ms > 0
    assert made.ndcg is not None
    assert (made.ndcg.old, made.ndcg.drop) == (None, None)
    assert made.ndcg.new == pytest.approx(1.0)
    assert made.unavailable == dict.fromkeys(
        ["overlap", "translation", "latency.old", "ndcg.old"], SOURCE_GONE
    )
    assert gates(made) == {"coverage": True, "recall": True, "ndcg_drop": False, "overlap": False}
    assert SOURCE_GONE in report_page.render("texts", report_schemas.report(made))


async def test_without_the_target_model_nothing_is_verified(
    found: World, engine: AsyncEngine, static_model: Path, model_cache: Path
):
    index = await bundled(found)
    other = dataclasses.replace(index, space_id=30_000)
    with pytest.raises(ModelMissing):
        await verify(subject(found, other))


async def test_documents_that_the_target_lacks(found: World):
    lacking = list(TEXTS)[:3]
    index = await bundled(found, without=tuple(lacking))
    made = await verify(subject(found, index))
    assert (made.coverage.missing, made.coverage.waived) == (3, 0)
    assert gates(made) == {"coverage": False, "recall": True}
    failed = [item for item in found.items() if item.id in lacking[:2]]
    async with found.engine.begin() as conn:
        failures = [(item.doc_key, item.text_hash, "encoder-failed") for item in failed]
        await pending.set_aside(conn, index.id, failures)
    waiving = Options(waive_failed=True)
    made = await verify(subject(found, index))
    assert made.coverage.waived == 0
    made = await verify(subject(found, index, options=waiving))
    assert (made.coverage.missing, made.coverage.waived) == (3, 2)
    assert gates(made)["coverage"] is False
    async with found.engine.begin() as conn:
        third = next(item for item in found.items() if item.id == lacking[2])
        failure = (third.doc_key, third.text_hash, "no-tokens")
        await pending.set_aside(conn, index.id, [failure])
    made = await verify(subject(found, index, options=waiving))
    assert gates(made)["coverage"] is True


async def test_recall_is_that_of_the_hnsw_index_as_it_is_served(found: World):
    """A graph of two neighbours each over vectors without any order: it can't find much."""
    index = await bundled(found)
    rng = np.random.default_rng(1)
    random = rng.normal(size=(4000, index.dimensions))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    rows = [
        vectors.VectorRow(uuid.uuid4(), 0, bytes(16), index.space_id, 0, 0, 0, vector)
        for vector in random.astype(np.float32)
    ]
    async with found.engine.begin() as conn:
        await vectors.copy_in(conn, index.id, rows)
        await conn.execute(
            text(
                f"CREATE INDEX {hnsw.name(index.id)} ON {index.table} USING hnsw"
                " (embedding halfvec_cosine_ops) WITH (m = 2, ef_construction = 4)"
            )
        )
    served = dataclasses.replace(index, hnsw="ready", ef_search=10)
    made = await verify(subject(found, served))
    assert (made.recall.path, made.recall.ef_search) == ("hnsw", 10)
    assert made.recall.queries == len(SEARCHES)
    assert 0 < made.recall.value < 0.9
    assert gates(made) == {"coverage": True, "recall": False}
    assert gates(await verify(subject(found, index)))["recall"] is True


async def test_few_searches_are_filled_up_with_sentences_of_documents(
    engine: AsyncEngine, static_model: Path, model_cache: Path
):
    async with world(engine, static_model, model_cache, TEXTS) as found:
        await searched(found, [*SEARCHES[:5], ""])
        assert found.models.default is not None
        index = await target(found, found.models.default)
        await fill(found, found.models.default, index, without=list(TEXTS)[:40])
        made = await verify(subject(found, index))
        again = await verify(subject(found, index))
        await searched(found, SEARCHES)
        mostly = await verify(subject(found, index))
    assert made.queries.source == "documents"
    assert 80 < made.queries.count <= 200
    assert "1 of " in made.unavailable["queries"]
    # The same queries, the same figures, but for what was timed and when.
    timed = {"created_at": made.created_at, "latency": made.latency}
    assert msgspec.structs.replace(again, **timed) == made
    assert (mostly.queries.source, mostly.queries.count) == ("searches", len(SEARCHES))


async def test_an_empty_collection_is_verified(
    engine: AsyncEngine, static_model: Path, model_cache: Path
):
    async with world(engine, static_model, model_cache, {}) as found:
        assert found.models.default is not None
        index = await target(found, found.models.default)
        for _ in range(2):
            made = await verify(subject(found, index))
            assert (made.coverage.documents, made.overlap, made.translation) == (0, None, None)
            assert made.unavailable.keys() == {"overlap", "translation", "ndcg"}
            assert gates(made) == {"coverage": True, "recall": True}
            assert "PASSED" in report_page.render("texts", report_schemas.report(made))
            await searched(found, SEARCHES)
