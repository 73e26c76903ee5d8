"""What embedding a whole collection anew would take, from a sample of it and a few trials."""

import asyncio
import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding.scheduling.queue import Urgency
from embedding.text.chunking import Chunk, Chunking
from indexing.documents.text_vectors import BATCH_CHUNKS
from indexing.models.loaded import Loaded
from migrations.reembed.backfill import LANES
from migrations.reembed.planning import estimates, sample
from migrations.reembed.planning.estimates import Duration, Rate
from migrations.reembed.planning.sample import Sample
from storage import document_samples, vectors, write_cost

_ENCODE_S = 8.0
_TRIAL_ROWS = 400
# Beside the COPY of a batch: its transaction, the fence, locks, what it replaces and counts.
_STATEMENTS = 10
# In the trial one process builds; the real one has helpers, or stands back behind other work.
_BUILD_FASTER, _BUILD_SLOWER = 0.25, 2.0
_NOTHING = Duration(0.0, 0.0, 0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """`chunks`, `tokens` and `seconds` are of all documents; `encode_s`, `insert_s` of one.

    The last four are shares of the documents, as in `Sample`.
    """

    documents: int
    sampled: int = 0
    rates: Sequence[Rate] = ()
    chunks: float = 0.0
    tokens: float = 0.0
    seconds: Duration = _NOTHING
    encode_s: float = 0.0
    insert_s: float = 0.0
    with_hnsw: bool = False
    too_long: float = 0.0
    cut: float = 0.0
    empty: float = 0.0
    unreadable: float = 0.0


async def count_only(engine: AsyncEngine, collection_id: UUID) -> Measurement:
    """The number of documents, and nothing else."""
    async with engine.connect() as conn:
        return Measurement(documents=await document_samples.count(conn, collection_id))


async def measure(
    engine: AsyncEngine,
    collection_id: UUID,
    target: Loaded,
    cutting: Chunking,
    *,
    hnsw_min_rows: int,
) -> Measurement:
    """Some ten seconds of the target's model; `cutting` is resolved for it."""
    taken = await sample.take(engine, collection_id, target, cutting)
    found = Measurement(
        documents=taken.population.documents,
        sampled=len(taken.documents),
        too_long=taken.too_long,
        cut=taken.cut,
        empty=taken.empty,
        unreadable=taken.unreadable,
    )
    if not taken.chunks:
        return found
    fast = await measure_rates(target, taken.chunks, _ENCODE_S)
    chunks = taken.total([one.chunks for one in taken.documents]).value
    indexable = target.model.space.dimensions <= vectors.MAX_HNSW_DIMENSIONS
    with_hnsw = indexable and chunks >= hnsw_min_rows
    cost = await _trial(engine, target, fast.vectors, with_hnsw=with_hnsw)
    encoding = _encoding(taken, fast.rates)
    a_chunk = cost.copy_s + _STATEMENTS * cost.round_trip_s / (LANES * BATCH_CHUNKS)
    writing = [Duration.overlapping(a_chunk * one.chunks) for one in taken.documents]
    filling = taken.total_time([one + other for one, other in zip(encoding, writing, strict=True)])
    return dataclasses.replace(
        found,
        rates=list(fast.rates.values()),
        chunks=chunks,
        tokens=taken.total([one.tokens for one in taken.documents]).value,
        seconds=filling + _build(cost, chunks),
        encode_s=taken.total_time(encoding).likely / found.documents,
        insert_s=_insert_s(cost, chunks) * chunks / found.documents,
        with_hnsw=with_hnsw,
    )


def _encoding(taken: Sample, known: dict[int, Rate]) -> list[Duration]:
    """Of each document of the sample, cutting it into chunks included."""
    a_byte = taken.prepare_s / max(1, sum(taken.sizes))
    return [
        estimates.encoding_time(one, known) + Duration.overlapping(a_byte * one.size)
        for one in taken.documents
    ]


def _build(cost: write_cost.WriteCost, chunks: float) -> Duration:
    if cost.build_s is None:
        return _NOTHING
    seconds = chunks * estimates.scale_hnsw_cost(cost.build_s, rows=cost.rows, to=chunks)
    return Duration(_BUILD_FASTER * seconds, seconds, _BUILD_SLOWER * seconds)


def _insert_s(cost: write_cost.WriteCost, chunks: float) -> float:
    if cost.insert_s is None:
        return cost.copy_s
    return estimates.scale_hnsw_cost(cost.insert_s, rows=cost.rows, to=chunks)


async def _trial(
    engine: AsyncEngine, target: Loaded, made: NDArray[np.float32], *, with_hnsw: bool
) -> write_cost.WriteCost:
    given = _different(made, target.model.space.dimensions)
    async with engine.connect() as conn:
        cost = await write_cost.measure(conn, given, space_id=target.space_id, with_hnsw=with_hnsw)
        await conn.rollback()
    return cost


def _different(made: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    """So many near those that were made: HNSW takes the same one twice for next to nothing."""
    rng = np.random.default_rng(0)
    chosen = made[np.arange(_TRIAL_ROWS) % len(made)] if len(made) else 0.0
    moved = chosen + rng.normal(0, 0.3 / np.sqrt(dimensions), (_TRIAL_ROWS, dimensions))
    unit: NDArray[np.float32] = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype("f4")
    return unit


# Batches grow to the size of a backfill's as long as time is left for so many of the next size:
# of a slow model one such batch would take half a minute, and says nothing of how far they differ.
_GROWTH = 4
_BATCHES = 4 * LANES
_MOST_BATCHES = 24 * LANES
_WINDOWS = 6


@dataclasses.dataclass(frozen=True, eq=False)
class EncodingRates:
    """Rates by bucket, and vectors of some of the chunks: (vectors, dimensions)."""

    rates: dict[int, Rate]
    vectors: NDArray[np.float32]


async def measure_rates(loaded: Loaded, chunks: Sequence[Chunk], budget_s: float) -> EncodingRates:
    """Encode chunks as a backfill does, those of like length together, for about `budget_s`.

    Raises EncoderFailed, EncoderDied.
    """
    buckets: dict[int, list[Chunk]] = {}
    for chunk in chunks:
        buckets.setdefault(estimates.bucket(chunk.token_count), []).append(chunk)
    tokens = sum(chunk.token_count for chunk in chunks)
    found: list[Rate] = []
    vectors: list[NDArray[np.float32]] = []
    for up_to, members in sorted(buckets.items()):
        mean = sum(chunk.token_count for chunk in members) / len(members)
        share = (mean * len(members) / tokens + 1 / len(buckets)) / 2
        seen = await _seen(loaded, members, share * budget_s, vectors)
        found.append(estimates.estimate_rate(up_to, mean, seen))
    nothing = np.empty((0, loaded.model.space.dimensions), np.float32)
    usable = np.concatenate([nothing, *vectors])
    return EncodingRates({one.up_to: one for one in found}, usable)


async def _seen(
    loaded: Loaded, members: Sequence[Chunk], budget_s: float, made: list[NDArray[np.float32]]
) -> list[float]:
    """Chunks a second, again and again."""
    endless = itertools.cycle(members)
    left, size = budget_s, 1
    while True:
        took = (await _lanes(loaded, endless, size=size, seconds=0.0, made=made))[-1]
        left -= took
        larger = min(BATCH_CHUNKS, size * _GROWTH)
        if larger == size or took * (larger / size) * _BATCHES / LANES > left:
            break
        size = larger
    if left < took:
        return [LANES * size / took]
    ends = await _lanes(loaded, endless, size=size, seconds=left, made=made)
    return _windows(ends, size)


async def _lanes(
    loaded: Loaded,
    endless: Iterator[Chunk],
    *,
    size: int,
    seconds: float,
    made: list[NDArray[np.float32]],
) -> list[float]:
    """When each batch was done, in seconds from now; each lane begins none after `seconds`."""
    ends: list[float] = []
    started = time.perf_counter()

    async def lane() -> None:
        while True:
            batch = list(itertools.islice(endless, size))
            encoded = await loaded.model.encode_chunks(batch, Urgency.BACKFILL)
            ends.append(time.perf_counter() - started)
            if len(made) < _MOST_BATCHES:
                made.append(encoded.vectors[np.isfinite(encoded.vectors).all(axis=1)])
            if ends[-1] >= seconds or len(ends) >= _MOST_BATCHES:
                return

    await asyncio.gather(*(lane() for _ in range(LANES)))
    return ends


def _windows(ends: Sequence[float], size: int) -> list[float]:
    """Chunks a second between batches that were done while all lanes were at work.

    Lanes tend to end together, so a window holds some batches of each.
    """
    # The first of each lane meets lengths that the encoder has not compiled for.
    steady = ends[LANES - 1 : len(ends) - LANES + 1]
    step = LANES * max(1, (len(steady) - 1) // (LANES * _WINDOWS))
    marks = steady[::step]
    if len(marks) < 2:
        return [len(ends) * size / ends[-1]]
    return [step * size / (end - start) for start, end in itertools.pairwise(marks)]
