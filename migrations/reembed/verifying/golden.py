"""Scores both spaces by golden queries: queries with judged documents, searched exactly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from indexing import retries
from migrations.reembed.verifying import comparison, report
from migrations.reembed.verifying.side import ComparedSide, ComparedSides, Vector
from storage import document_samples, documents

_K = 10
_NONE_GIVEN = "not available: no golden queries were given"
_NONE_LEFT = "not available: no golden query has a relevant document in the collection"


class GoldenQuery(Struct, frozen=True, kw_only=True):
    """A query and the gain of each judged document, by document id."""

    q: str
    relevant: dict[str, float]


@dataclass(frozen=True)
class GoldenScores:
    """`notes` say what could not be judged and why, by the names of `report.unavailable`."""

    ndcg: report.Ndcg | None
    notes: Mapping[str, str]


async def judge(
    engine: AsyncEngine,
    collection_id: UUID,
    golden: Sequence[Mapping[str, object]] | None,
    sides: ComparedSides,
) -> GoldenScores:
    """nDCG@10 in both spaces, over the queries with at least one relevant stored document.

    Judged documents that are not stored don't count: neither space can find them.
    """
    if not golden:
        return GoldenScores(None, {"ndcg": _NONE_GIVEN})
    queries = msgspec.convert(golden, list[GoldenQuery])
    stored = await _stored(engine, collection_id, queries)
    scored = [scores for query in stored if (scores := await _score(query, sides)) is not None]
    notes = _notes(queries, stored, len(scored))
    if not scored:
        return GoldenScores(None, {"ndcg": _NONE_LEFT, **notes})
    new, *old = (sum(scores) / len(scored) for scores in zip(*scored, strict=True))
    return GoldenScores(
        report.Ndcg(
            old=old[0] if old else None,
            new=new,
            drop=old[0] - new if old else None,
            queries=len(scored),
        ),
        notes,
    )


async def _stored(
    engine: AsyncEngine, collection_id: UUID, queries: Sequence[GoldenQuery]
) -> list[GoldenQuery]:
    """The same queries, reduced to the judged documents that are stored."""
    ids = {id_ for query in queries for id_ in query.relevant}
    keys = {id_: documents.key(collection_id, id_) for id_ in ids}
    existing = await retries.read(
        engine, lambda conn: document_samples.existing_keys(conn, keys.values())
    )
    return [
        GoldenQuery(
            q=query.q,
            relevant={id_: gain for id_, gain in query.relevant.items() if keys[id_] in existing},
        )
        for query in queries
    ]


async def _score(query: GoldenQuery, sides: ComparedSides) -> list[float] | None:
    """nDCG on each side; None if nothing relevant is stored or the query has no vector."""
    if not any(gain > 0 for gain in query.relevant.values()):
        return None
    scores = []
    for side in sides.all:
        vector = await side.encode(query.q)
        if vector is None:
            return None
        scores.append(await _ndcg(side, vector, query))
    return scores


async def _ndcg(side: ComparedSide, vector: Vector, query: GoldenQuery) -> float:
    hits = await side.nearest(vector, _K, exact=True)
    return comparison.ndcg([hit.id for hit in hits], query.relevant, _K)


def _notes(
    queries: Sequence[GoldenQuery], stored: Sequence[GoldenQuery], scored: int
) -> dict[str, str]:
    judged = {id_ for query in queries for id_ in query.relevant}
    absent = judged - {id_ for query in stored for id_ in query.relevant}
    if not absent and scored == len(queries):
        return {}
    left_out = len(queries) - scored
    return {
        "golden": (
            f"{len(absent):,} of {len(judged):,} judged documents are not in the collection;"
            f" {left_out:,} of {len(queries):,} golden queries were left out: none of their"
            " relevant documents is in the collection, or the query has no vector"
        )
    }
