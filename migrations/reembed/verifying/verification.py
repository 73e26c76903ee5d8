"""Measures a target index before searches use it, and compares it with its source."""

import asyncio
import contextlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from indexing import retries
from indexing.errors import ModelMissing
from indexing.hnsw import recall as hnsw_recall
from indexing.models.pool import ModelPool
from migrations.reembed.migration import Options
from migrations.reembed.verifying import (
    comparison,
    gates,
    golden,
    questions,
    report,
    side,
    translation,
)
from migrations.reembed.verifying.side import ComparedSide, ComparedSides, Vector
from storage import pending, search
from storage.collections import CollectionRow
from storage.indexes import IndexRow
from storage.migrations import MigrationRow

SOURCE_GONE = "not available: the model of the old space is not on this machine"
_NOTHING_FOUND = "not available: no query found a document"
_TOO_FEW = f"not available: fewer than {translation.MIN_QUERIES} queries found a document"
_K = 10


@dataclass(frozen=True)
class Subject:
    """What to verify: the indexes as stored now, with the target's HNSW index already built."""

    engine: AsyncEngine
    models: ModelPool
    migration: MigrationRow
    collection: CollectionRow
    source: IndexRow
    target: IndexRow
    options: Options

    @property
    def seed(self) -> int:
        return self.migration.id.int


@dataclass(frozen=True)
class _EncodedQueries:
    """Queries that have a vector on every side; each one's vectors, with the new side's first."""

    texts: list[str]
    vectors: list[list[Vector]]
    sampled: questions.SampleQueries


async def verify(subject: Subject) -> report.Report:
    """Searches both indexes thousands of times, in the same ways as live searches.

    Without the source's model, only what needs it is left out. Raises ModelMissing if the target's
    model is not loaded here, IndexChanged if a table is dropped meanwhile.
    """
    with contextlib.ExitStack() as stack:
        new = stack.enter_context(_open_side(subject, subject.target))
        old = None
        with contextlib.suppress(ModelMissing):
            old = stack.enter_context(_open_side(subject, subject.source))
        return await _measure(subject, ComparedSides(new, old))


@contextlib.contextmanager
def _open_side(subject: Subject, index: IndexRow) -> Iterator[ComparedSide]:
    engine = subject.engine.execution_options(isolation_level="AUTOCOMMIT")
    with subject.models.for_index(index) as loaded:
        yield ComparedSide(engine, index, loaded)


async def _measure(subject: Subject, sides: ComparedSides) -> report.Report:
    coverage = await _coverage(subject)
    queries = await _encode_queries(subject, sides)
    recall = await _recall(sides.new, [new for new, *_ in queries.vectors])
    # Without queries, search for something: the report needs a latency.
    texts = queries.texts or [f"search {subject.collection.name}"]
    results = await side.search_sides(sides, texts)
    golden_queries = subject.migration.golden
    scores = await golden.judge(subject.engine, subject.collection.id, golden_queries, sides)
    compared = _compare_results(queries, results)
    translated = await _translate_scores(subject, sides, queries)
    findings = gates.Findings(
        coverage=coverage,
        recall=recall,
        ndcg=scores.ndcg,
        overlap=comparison.mean_overlap(compared),
        unavailable={**scores.notes, **_skipped_queries(queries)},
    )
    unavailable = {**_unavailable(sides, findings, translated), **findings.unavailable}
    findings = replace(findings, unavailable=unavailable)
    return report.Report(
        created_at=datetime.now(UTC),
        coverage=coverage,
        recall=recall,
        queries=report.Queries(count=len(queries.texts), source=queries.sampled.source),
        overlap=findings.overlap,
        most_changed=comparison.most_changed(compared),
        ndcg=scores.ndcg,
        latency=results.latencies(),
        translation=translated,
        unavailable=unavailable,
        verdict=gates.judge(findings, subject.options),
    )


async def _coverage(subject: Subject) -> report.Coverage:
    coverage = await retries.read(
        subject.engine,
        lambda conn: pending.measure_coverage(conn, subject.collection.id, subject.target.id),
    )
    return report.Coverage(
        documents=coverage.documents,
        missing=coverage.missing,
        waived=coverage.failed if subject.options.waive_failed else 0,
        waiting=coverage.waiting,
    )


async def _encode_queries(subject: Subject, sides: ComparedSides) -> _EncodedQueries:
    sampled = await retries.read(
        subject.engine,
        lambda conn: questions.choose(
            conn,
            subject.collection.id,
            random.Random(subject.seed),  # noqa: S311 - no secret
        ),
    )
    texts, vectors = [], []
    for text in sampled.texts:
        encoded = [await side.encode(text) for side in sides.all]
        usable = [vector for vector in encoded if vector is not None]
        if len(usable) == len(encoded):
            texts.append(text)
            vectors.append(usable)
    return _EncodedQueries(texts, vectors, sampled)


async def _recall(side: ComparedSide, vectors: Sequence[Vector]) -> report.Recall:
    """Compares rows by their distances, as the tuning of ef_search does."""
    if side.index.hnsw != "ready":
        return report.Recall(value=1.0, path="exact", queries=len(vectors), ef_search=None)
    ef_search = side.index.ef_search or search.MIN_EF_SEARCH
    exact, approximate = [], []
    for vector in vectors:  # one right after the other, since rows change meanwhile
        exact.append(await side.distances(vector, _K, ef_search=None))
        approximate.append(await side.distances(vector, _K, ef_search=ef_search))
    return report.Recall(
        value=hnsw_recall.recall(exact, approximate),
        path="hnsw",
        queries=len(vectors),
        ef_search=ef_search,
    )


def _compare_results(
    queries: _EncodedQueries, results: side.ComparedResults
) -> list[comparison.ResultComparison]:
    if results.old is None or not queries.texts:
        return []
    rows = zip(queries.texts, results.old.hits, results.new.hits, strict=True)
    return [comparison.ResultComparison(text, old, new) for text, old, new in rows]


async def _translate_scores(
    subject: Subject, sides: ComparedSides, queries: _EncodedQueries
) -> report.Translation | None:
    if sides.old is None:
        return None
    vectors = [(old, new) for new, old in queries.vectors]
    pairs = await translation.score_pairs(sides.old, sides.new, vectors)
    # The resampling takes about a second of CPU time.
    return await asyncio.to_thread(translation.translate, pairs, subject.seed)


def _unavailable(
    sides: ComparedSides, findings: gates.Findings, translated: report.Translation | None
) -> dict[str, str]:
    """Why a measurement is missing, by its name in the report."""
    if sides.old is None:
        names = ["overlap", "translation", "latency.old"]
        if findings.ndcg is not None:
            names.append("ndcg.old")
        return dict.fromkeys(names, SOURCE_GONE)
    reasons = {}
    if findings.overlap is None:
        reasons["overlap"] = _NOTHING_FOUND
    if translated is None:
        reasons["translation"] = _TOO_FEW
    return reasons


def _skipped_queries(queries: _EncodedQueries) -> dict[str, str]:
    total = len(queries.sampled.texts)
    skipped = total - len(queries.texts)
    if not skipped:
        return {}
    return {
        "queries": f"{skipped:,} of {total:,} queries have no vector in one of the spaces and were"
        " left out"
    }
