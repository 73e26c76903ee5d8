"""What embedding a whole collection anew would take, from a sample of it and a few trials."""

import dataclasses
from collections.abc import Sequence
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding.chunking import Chunking
from indexing.embedded import BATCH_CHUNKS
from indexing.loaded import Loaded
from migrations.reembed.backfill import LANES
from migrations.reembed.planning import estimates, rates, sample
from migrations.reembed.planning.estimates import Rate, Span
from migrations.reembed.planning.sample import Sample
from storage import samples, trial, vectors

_ENCODE_S = 8.0
_TRIAL_ROWS = 400
# Beside the COPY of a batch: its transaction, the fence, locks, what it replaces and counts.
_STATEMENTS = 10
# In the trial one process builds; the real one has helpers, or stands back behind other work.
_BUILD_FASTER, _BUILD_SLOWER = 0.25, 2.0
_NOTHING = Span(0.0, 0.0, 0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """`chunks`, `tokens` and `seconds` are of all documents; `encode_s`, `insert_s` of one.

    The last four are shares of the documents, as in `Sample`.
    """

    documents: int
    sampled: int = 0
    rates: Sequence[Rate] = ()
    chunks: float = 0.0
    tokens: float = 0.0
    seconds: Span = _NOTHING
    encode_s: float = 0.0
    insert_s: float = 0.0
    with_hnsw: bool = False
    too_long: float = 0.0
    cut: float = 0.0
    empty: float = 0.0
    unreadable: float = 0.0


async def count(engine: AsyncEngine, collection_id: UUID) -> Measured:
    """The number of documents, and nothing else."""
    async with engine.connect() as conn:
        return Measured(documents=await samples.count(conn, collection_id))


async def measure(
    engine: AsyncEngine,
    collection_id: UUID,
    target: Loaded,
    cutting: Chunking,
    *,
    hnsw_min_rows: int,
) -> Measured:
    """Some ten seconds of the target's model; `cutting` is resolved for it."""
    taken = await sample.take(engine, collection_id, target, cutting)
    found = Measured(
        documents=taken.population.documents,
        sampled=len(taken.documents),
        too_long=taken.too_long,
        cut=taken.cut,
        empty=taken.empty,
        unreadable=taken.unreadable,
    )
    if not taken.chunks:
        return found
    fast = await rates.measure(target, taken.chunks, _ENCODE_S)
    chunks = taken.total([one.chunks for one in taken.documents]).value
    indexable = target.model.space.dimensions <= vectors.MAX_HNSW_DIMENSIONS
    with_hnsw = indexable and chunks >= hnsw_min_rows
    cost = await _trial(engine, target, fast.vectors, with_hnsw=with_hnsw)
    encoding = _encoding(taken, fast.rates)
    a_chunk = cost.copy_s + _STATEMENTS * cost.round_trip_s / (LANES * BATCH_CHUNKS)
    writing = [Span.beside(a_chunk * one.chunks) for one in taken.documents]
    filling = taken.overall([one + other for one, other in zip(encoding, writing, strict=True)])
    return dataclasses.replace(
        found,
        rates=list(fast.rates.values()),
        chunks=chunks,
        tokens=taken.total([one.tokens for one in taken.documents]).value,
        seconds=filling + _build(cost, chunks),
        encode_s=taken.overall(encoding).likely / found.documents,
        insert_s=_insert_s(cost, chunks) * chunks / found.documents,
        with_hnsw=with_hnsw,
    )


def _encoding(taken: Sample, known: dict[int, Rate]) -> list[Span]:
    """Of each document of the sample, cutting it into chunks included."""
    a_byte = taken.prepare_s / max(1, sum(taken.sizes))
    return [
        estimates.encoding(one, known) + Span.beside(a_byte * one.size) for one in taken.documents
    ]


def _build(cost: trial.Cost, chunks: float) -> Span:
    if cost.build_s is None:
        return _NOTHING
    seconds = chunks * estimates.grown(cost.build_s, rows=cost.rows, to=chunks)
    return Span(_BUILD_FASTER * seconds, seconds, _BUILD_SLOWER * seconds)


def _insert_s(cost: trial.Cost, chunks: float) -> float:
    if cost.insert_s is None:
        return cost.copy_s
    return estimates.grown(cost.insert_s, rows=cost.rows, to=chunks)


async def _trial(
    engine: AsyncEngine, target: Loaded, made: NDArray[np.float32], *, with_hnsw: bool
) -> trial.Cost:
    given = _different(made, target.model.space.dimensions)
    async with engine.connect() as conn:
        cost = await trial.cost(conn, given, space_id=target.space_id, with_hnsw=with_hnsw)
        await conn.rollback()
    return cost


def _different(made: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    """So many near those that were made: HNSW takes the same one twice for next to nothing."""
    rng = np.random.default_rng(0)
    chosen = made[np.arange(_TRIAL_ROWS) % len(made)] if len(made) else 0.0
    moved = chosen + rng.normal(0, 0.3 / np.sqrt(dimensions), (_TRIAL_ROWS, dimensions))
    unit: NDArray[np.float32] = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype("f4")
    return unit
