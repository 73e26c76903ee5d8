"""Finds out what a target is worth before it answers, beside the source that it would replace."""

import asyncio
import contextlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from indexing import retries
from indexing.errors import ModelMissing
from indexing.hnsw.recall import recall
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
    """`source` and `target` as they are stored now, the target's HNSW built if it will have one."""

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
class _Asked:
    """Queries that have a vector on every side, and for each the vectors, the new one first."""

    texts: list[str]
    vectors: list[list[Vector]]
    source: questions.SampleQueries


async def verify(subject: Subject) -> report.Report:
    """Searches both indexes some thousand times, by the paths that searches take.

    Without the source's model only what needs it is left out. Raises ModelMissing where the
    target's is not loaded here, IndexChanged where a table goes meanwhile.
    """
    with contextlib.ExitStack() as held:
        new = held.enter_context(_held(subject, subject.target))
        old = None
        with contextlib.suppress(ModelMissing):
            old = held.enter_context(_held(subject, subject.source))
        return await _verify(subject, ComparedSides(new, old))


@contextlib.contextmanager
def _held(subject: Subject, index: IndexRow) -> Iterator[ComparedSide]:
    engine = subject.engine.execution_options(isolation_level="AUTOCOMMIT")
    with subject.models.held(index) as loaded:
        yield ComparedSide(engine, index, loaded)


async def _verify(subject: Subject, sides: ComparedSides) -> report.Report:
    covered = await _coverage(subject)
    asked = await _ask(subject, sides)
    recalled = await _recall(sides.new, [new for new, *_ in asked.vectors])
    # Where nothing can be asked, something is, for the time that it takes.
    runs = await side.search_sides(sides, asked.texts or [f"search {subject.collection.name}"])
    judged = await golden.judge(
        subject.engine, subject.collection.id, subject.migration.golden, sides
    )
    compared = _compared(asked, runs)
    overlap = comparison.mean_overlap(compared)
    translated = await _translated(subject, sides, asked)
    unavailable = {
        **_lacking(sides, overlap, translated, judged.ndcg),
        **judged.notes,
        **_left_out(asked),
    }
    found = gates.Findings(
        coverage=covered,
        recall=recalled,
        ndcg=judged.ndcg,
        overlap=overlap,
        unavailable=unavailable,
    )
    return report.Report(
        created_at=datetime.now(UTC),
        coverage=covered,
        recall=recalled,
        queries=report.Queries(count=len(asked.texts), source=asked.source.source),
        overlap=overlap,
        most_changed=comparison.most_changed(compared),
        ndcg=judged.ndcg,
        latency=runs.latencies(),
        translation=translated,
        unavailable=unavailable,
        verdict=gates.judge(found, subject.options),
    )


async def _coverage(subject: Subject) -> report.Coverage:
    found = await retries.read(
        subject.engine,
        lambda conn: pending.measure_coverage(conn, subject.collection.id, subject.target.id),
    )
    waived = found.failed if subject.options.waive_failed else 0
    return report.Coverage(
        documents=found.documents,
        missing=found.missing,
        waived=waived,
        waiting=found.waiting,
    )


async def _ask(subject: Subject, sides: ComparedSides) -> _Asked:
    source = await retries.read(
        subject.engine,
        lambda conn: questions.choose(
            conn,
            subject.collection.id,
            random.Random(subject.seed),  # noqa: S311 - no secret
        ),
    )
    texts, vectors = [], []
    for text in source.texts:
        made = [await side.encode(text) for side in sides.all]
        usable = [vector for vector in made if vector is not None]
        if len(usable) == len(made):
            texts.append(text)
            vectors.append(usable)
    return _Asked(texts, vectors, source)


async def _recall(side: ComparedSide, vectors: Sequence[Vector]) -> report.Recall:
    """Of rows, by their distances, as ef_search is tuned."""
    if side.index.hnsw != "ready":
        return report.Recall(value=1.0, path="exact", queries=len(vectors), ef_search=None)
    ef_search = side.index.ef_search or search.MIN_EF_SEARCH
    truth, found = [], []
    for vector in vectors:  # one right after the other: rows change meanwhile
        truth.append(await side.distances(vector, _K, ef_search=None))
        found.append(await side.distances(vector, _K, ef_search=ef_search))
    return report.Recall(
        value=recall(truth, found), path="hnsw", queries=len(vectors), ef_search=ef_search
    )


def _compared(asked: _Asked, runs: side.ComparedResults) -> list[comparison.ResultComparison]:
    if runs.old is None or not asked.texts:
        return []
    found = zip(asked.texts, runs.old.found, runs.new.found, strict=True)
    return [comparison.ResultComparison(text, old, new) for text, old, new in found]


async def _translated(
    subject: Subject, sides: ComparedSides, asked: _Asked
) -> report.Translation | None:
    if sides.old is None:
        return None
    queries = [(old, new) for new, old in asked.vectors]
    pairs = await translation.score_pairs(sides.old, sides.new, queries)
    # Its resampling takes about a second of the processor.
    return await asyncio.to_thread(translation.translate, pairs, subject.seed)


def _lacking(
    sides: ComparedSides,
    overlap: report.Overlap | None,
    translated: report.Translation | None,
    ndcg: report.Ndcg | None,
) -> dict[str, str]:
    if sides.old is None:
        names = ["overlap", "translation", "latency.old"]
        return dict.fromkeys(names + (["ndcg.old"] if ndcg is not None else []), SOURCE_GONE)
    lacking = {}
    if overlap is None:
        lacking["overlap"] = _NOTHING_FOUND
    if translated is None:
        lacking["translation"] = _TOO_FEW
    return lacking


def _left_out(asked: _Asked) -> dict[str, str]:
    count = len(asked.source.texts) - len(asked.texts)
    if not count:
        return {}
    return {
        "queries": f"{count:,} of {len(asked.source.texts):,} queries have no vector in one of the"
        " spaces and were left out"
    }
