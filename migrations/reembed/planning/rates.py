"""How fast a model embeds chunks here and now, beside all else that goes on."""

import asyncio
import dataclasses
import itertools
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from embedding.chunking import Chunk
from embedding.scheduler import Urgency
from indexing.loaded import Loaded
from migrations.reembed.backfill import BATCH_CHUNKS, LANES
from migrations.reembed.planning import estimates
from migrations.reembed.planning.estimates import Rate

# A round is what a backfill has in flight. Of a slow model it is less: half a minute of a round
# would be too long, and many short rounds show how far they differ.
_ROUND_CHUNKS = LANES * BATCH_CHUNKS
_FIRST_CHUNKS = LANES
_GROWTH = 4
_ROUNDS = 4
_MOST_ROUNDS = 12
# The first at its size meets lengths that the encoder has not compiled for.
_WARM_AFTER = 3


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
        seen = await _rounds(loaded, members, share * budget_s, vectors)
        found.append(estimates.rate(up_to, mean, seen))
    nothing = np.empty((0, loaded.model.space.dimensions), np.float32)
    usable = np.concatenate([nothing, *vectors])
    return Speed({one.up_to: one for one in found}, usable)


async def _rounds(
    loaded: Loaded,
    members: Sequence[Chunk],
    budget_s: float,
    vectors: list[NDArray[np.float32]],
) -> list[float]:
    """Chunks a second of each round of the greatest size that leaves time for some of them."""
    endless = itertools.cycle(members)
    count = _FIRST_CHUNKS
    unseen = len(members)
    left = budget_s
    seen: list[float] = []
    while not seen or (left > 0 and len(seen) < _MOST_ROUNDS):
        started = time.perf_counter()
        made = await _round(loaded, list(itertools.islice(endless, count)))
        took = time.perf_counter() - started
        vectors.append(made[: max(0, unseen)])  # the same chunk twice is the same vector
        unseen -= len(made)
        left -= took
        if count < _ROUND_CHUNKS and took * _GROWTH * _ROUNDS < left:
            count = min(_ROUND_CHUNKS, count * _GROWTH)
            seen = []
            continue
        seen.append(count / took)
    return seen[1:] if len(seen) > _WARM_AFTER else seen


async def _round(loaded: Loaded, chunks: Sequence[Chunk]) -> NDArray[np.float32]:
    """The vectors of those that have one."""
    size = -(-len(chunks) // LANES)
    parts = (chunks[start : start + size] for start in range(0, len(chunks), size))
    made = await asyncio.gather(
        *(loaded.model.encode_chunks(part, Urgency.BACKFILL) for part in parts)
    )
    vectors = np.concatenate([one.vectors for one in made])
    usable: NDArray[np.float32] = vectors[np.isfinite(vectors).all(axis=1)]
    return usable
