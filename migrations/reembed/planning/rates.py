"""How fast a model embeds chunks here and now, beside all else that goes on."""

import asyncio
import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from embedding.chunking import Chunk
from embedding.scheduler import Urgency
from indexing.embedded import BATCH_CHUNKS
from indexing.loaded import Loaded
from migrations.reembed.backfill import LANES
from migrations.reembed.planning import estimates
from migrations.reembed.planning.estimates import Rate

# Batches grow to the size of a backfill's as long as time is left for so many of the next size:
# of a slow model one such batch would take half a minute, and says nothing of how far they differ.
_GROWTH = 4
_BATCHES = 4 * LANES
_MOST_BATCHES = 24 * LANES
_WINDOWS = 6


@dataclasses.dataclass(frozen=True, eq=False)
class Speed:
    """Rates by bucket, and vectors of some of the chunks: (vectors, dimensions)."""

    rates: dict[int, Rate]
    vectors: NDArray[np.float32]


async def measure(loaded: Loaded, chunks: Sequence[Chunk], budget_s: float) -> Speed:
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
        found.append(estimates.rate(up_to, mean, seen))
    nothing = np.empty((0, loaded.model.space.dimensions), np.float32)
    usable = np.concatenate([nothing, *vectors])
    return Speed({one.up_to: one for one in found}, usable)


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
