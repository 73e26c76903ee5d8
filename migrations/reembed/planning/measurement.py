"""Measures what embedding a whole collection again would take, by a sample and short trials."""

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
from migrations.reembed.planning import estimates
from migrations.reembed.planning import sample as sampling
from migrations.reembed.planning.estimates import ChunkRate, Duration
from migrations.reembed.planning.sample import Sample
from storage import document_samples, vectors, write_cost

_ENCODE_S = 8.0
_TRIAL_ROWS = 400
# Per batch besides its COPY: the transaction, the fence, locks, deletes, progress.
_STATEMENTS = 10
# The trial builds in one process; the real build has parallel workers, or waits for other work.
_BUILD_FASTER, _BUILD_SLOWER = 0.25, 2.0
_NOTHING = Duration(0.0, 0.0, 0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """`chunks`, `tokens` and `seconds` are for all documents; `encode_s` and `insert_s` for one.

    The last four are shares of the documents, as in `Sample`.
    """

    documents: int
    sampled: int = 0
    rates: Sequence[ChunkRate] = ()
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
    """For a plan that embeds nothing: only the number of documents."""
    async with engine.connect() as conn:
        return Measurement(documents=await document_samples.count(conn, collection_id))


async def measure(
    engine: AsyncEngine,
    collection_id: UUID,
    target: Loaded,
    chunking: Chunking,
    *,
    hnsw_min_rows: int,
) -> Measurement:
    """Keeps the target's model busy for some ten seconds; `chunking` is resolved for it.

    Raises EncoderFailed, EncoderDied.
    """
    sample = await sampling.take(engine, collection_id, target, chunking)
    measurement = _describe_sample(sample)
    if not sample.chunks:
        return measurement
    encoding = await measure_rates(target, sample.chunks, _ENCODE_S)
    chunks = sample.total([document.chunks for document in sample.documents]).value
    indexable = target.model.space.dimensions <= vectors.MAX_HNSW_DIMENSIONS
    with_hnsw = indexable and chunks >= hnsw_min_rows
    cost = await _measure_write_cost(engine, target, encoding.vectors, with_hnsw=with_hnsw)
    encode_times = _encode_times(sample, encoding.rates)
    return dataclasses.replace(
        measurement,
        rates=list(encoding.rates.values()),
        chunks=chunks,
        tokens=sample.total([document.tokens for document in sample.documents]).value,
        seconds=_backfill_time(sample, encode_times, cost) + _build_time(cost, chunks),
        encode_s=sample.total_time(encode_times).likely / measurement.documents,
        insert_s=_insert_s(cost, chunks) * chunks / measurement.documents,
        with_hnsw=with_hnsw,
    )


def _describe_sample(sample: Sample) -> Measurement:
    return Measurement(
        documents=sample.population.documents,
        sampled=len(sample.documents),
        too_long=sample.too_long,
        cut=sample.cut,
        empty=sample.empty,
        unreadable=sample.unreadable,
    )


def _encode_times(sample: Sample, rates: dict[int, ChunkRate]) -> list[Duration]:
    """For each document of the sample, including its chunking."""
    prepare_s_per_byte = sample.prepare_s / max(1, sum(sample.sizes))
    return [
        estimates.encoding_time(document, rates)
        + Duration.overlapping(prepare_s_per_byte * document.size)
        for document in sample.documents
    ]


def _backfill_time(
    sample: Sample, encode_times: Sequence[Duration], cost: write_cost.WriteCost
) -> Duration:
    write_s = cost.copy_s + _STATEMENTS * cost.round_trip_s / (LANES * BATCH_CHUNKS)
    return sample.total_time(
        [
            encode_time + Duration.overlapping(write_s * document.chunks)
            for encode_time, document in zip(encode_times, sample.documents, strict=True)
        ]
    )


def _build_time(cost: write_cost.WriteCost, chunks: float) -> Duration:
    if cost.build_s is None:
        return _NOTHING
    seconds = chunks * estimates.scale_hnsw_cost(cost.build_s, rows=cost.rows, to=chunks)
    return Duration(_BUILD_FASTER * seconds, seconds, _BUILD_SLOWER * seconds)


def _insert_s(cost: write_cost.WriteCost, chunks: float) -> float:
    if cost.insert_s is None:
        return cost.copy_s
    return estimates.scale_hnsw_cost(cost.insert_s, rows=cost.rows, to=chunks)


async def _measure_write_cost(
    engine: AsyncEngine, target: Loaded, encoded: NDArray[np.float32], *, with_hnsw: bool
) -> write_cost.WriteCost:
    trial = _distinct_vectors(encoded, target.model.space.dimensions)
    async with engine.connect() as conn:
        cost = await write_cost.measure(conn, trial, space_id=target.space_id, with_hnsw=with_hnsw)
        await conn.rollback()
    return cost


def _distinct_vectors(encoded: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    """Enough vectors near the encoded ones: HNSW inserts a duplicate at almost no cost."""
    rng = np.random.default_rng(0)
    near = encoded[np.arange(_TRIAL_ROWS) % len(encoded)] if len(encoded) else 0.0
    moved = near + rng.normal(0, 0.3 / np.sqrt(dimensions), (_TRIAL_ROWS, dimensions))
    unit: NDArray[np.float32] = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype("f4")
    return unit


# Batches grow to the size of a backfill's while there is time for `_BATCHES` of the next size: with
# a slow model one full batch would take half a minute and say nothing about the variation.
_GROWTH = 4
_BATCHES = 4 * LANES
_MAX_BATCHES = 24 * LANES
_WINDOWS = 6


@dataclasses.dataclass(frozen=True, eq=False)
class EncodingRates:
    """Rates by bucket, and the vectors of some of the chunks, of shape (vectors, dimensions)."""

    rates: dict[int, ChunkRate]
    vectors: NDArray[np.float32]


async def measure_rates(loaded: Loaded, chunks: Sequence[Chunk], budget_s: float) -> EncodingRates:
    """Encode chunks of similar length together, as a backfill does, for about `budget_s`.

    Raises EncoderFailed, EncoderDied.
    """
    buckets: dict[int, list[Chunk]] = {}
    for chunk in chunks:
        buckets.setdefault(estimates.bucket(chunk.token_count), []).append(chunk)
    tokens = sum(chunk.token_count for chunk in chunks)
    rates: dict[int, ChunkRate] = {}
    encoded: list[NDArray[np.float32]] = []
    for up_to, members in sorted(buckets.items()):
        mean = sum(chunk.token_count for chunk in members) / len(members)
        share = (mean * len(members) / tokens + 1 / len(buckets)) / 2
        measured = await _measure_bucket(loaded, members, share * budget_s, encoded)
        rates[up_to] = estimates.estimate_rate(up_to, mean, measured)
    empty = np.empty((0, loaded.model.space.dimensions), np.float32)
    return EncodingRates(rates, np.concatenate([empty, *encoded]))


async def _measure_bucket(
    loaded: Loaded, members: Sequence[Chunk], budget_s: float, encoded: list[NDArray[np.float32]]
) -> list[float]:
    """Chunks per second, measured several times; some vectors are appended to `encoded`."""
    endless = itertools.cycle(members)
    left, size = budget_s, 1
    while True:
        took = (await _run_lanes(loaded, endless, size=size, seconds=0.0, encoded=encoded))[-1]
        left -= took
        larger = min(BATCH_CHUNKS, size * _GROWTH)
        if larger == size or took * (larger / size) * _BATCHES / LANES > left:
            break
        size = larger
    if left < took:
        return [LANES * size / took]
    ends = await _run_lanes(loaded, endless, size=size, seconds=left, encoded=encoded)
    return _rates(ends, size)


async def _run_lanes(
    loaded: Loaded,
    endless: Iterator[Chunk],
    *,
    size: int,
    seconds: float,
    encoded: list[NDArray[np.float32]],
) -> list[float]:
    """When each batch ended, in seconds from now; no lane starts a batch after `seconds`."""
    ends: list[float] = []
    started = time.perf_counter()

    async def lane() -> None:
        while True:
            batch = list(itertools.islice(endless, size))
            result = await loaded.model.encode_chunks(batch, Urgency.BACKFILL)
            ends.append(time.perf_counter() - started)
            if len(encoded) < _MAX_BATCHES:
                encoded.append(result.vectors[np.isfinite(result.vectors).all(axis=1)])
            if ends[-1] >= seconds or len(ends) >= _MAX_BATCHES:
                return

    await asyncio.gather(*(lane() for _ in range(LANES)))
    return ends


def _rates(ends: Sequence[float], size: int) -> list[float]:
    """Chunks per second, in windows during which all lanes were busy.

    Lanes tend to end together, so each window contains several batches of each.
    """
    # The first batch of each lane has lengths for which the encoder is not compiled yet.
    steady = ends[LANES - 1 : len(ends) - LANES + 1]
    step = LANES * max(1, (len(steady) - 1) // (LANES * _WINDOWS))
    marks = steady[::step]
    if len(marks) < 2:
        return [len(ends) * size / ends[-1]]
    return [step * size / (end - start) for start, end in itertools.pairwise(marks)]
