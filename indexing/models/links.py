"""Links between fingerprints that give the same vectors: one space, nothing embedded again."""

import numpy as np
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding.canaries import check
from indexing import errors
from indexing.models.loaded import Loaded
from indexing.models.pool import ModelPool
from storage import spaces
from storage.spaces import SpaceRow

# For every canary: what a model that was saved again reaches, and no other model does.
MIN_COSINE = 0.99999


async def link(
    engine: AsyncEngine, models: ModelPool, loaded: Loaded, fingerprint: str
) -> tuple[SpaceRow, float]:
    """Record that `loaded` makes the vectors of the space `fingerprint`; returns the worst cosine.

    Both references are torch's in fp32. Raises LinkRefused.
    """
    own = loaded.model.space.fingerprint
    async with engine.connect() as conn:
        row = await spaces.by_fingerprint(conn, fingerprint)
        used = await spaces.in_use(conn)
    if row is None:
        raise errors.LinkRefused(f"no space {fingerprint!r} is stored; see `vecmark models list`")
    if own == fingerprint:
        raise errors.LinkRefused(f"{loaded.name} already has this fingerprint: nothing to link")
    if loaded.space_id in used and loaded.space_id != row.id:
        raise errors.LinkRefused(
            f"collections already hold vectors of {own}: two spaces in use can't become one"
        )
    worst = _worst(row, loaded)
    if worst < MIN_COSINE:
        raise errors.LinkRefused(
            f"{loaded.name} does not make the vectors of {row.model_id}: the worst "
            f"cosine over {len(check.TEXTS)} texts is {worst:.6f}, {MIN_COSINE} is needed"
        )
    async with engine.begin() as conn:
        await spaces.link(conn, own, row.id, worst)
    models.move(loaded, row)
    return row, worst


def _worst(row: SpaceRow, loaded: Loaded) -> float:
    if row.canaries_version != check.VERSION or row.dimensions != loaded.model.space.dimensions:
        return 0.0
    stored = row.canaries.astype(np.float64)
    new = loaded.model.reference.astype(np.float64)
    lengths = np.linalg.norm(stored, axis=1) * np.linalg.norm(new, axis=1)
    # A text without tokens has a vector of zeros: it must have one in both.
    cosines = np.where(
        lengths > 0, (stored * new).sum(axis=1) / np.where(lengths > 0, lengths, 1), 1.0
    )
    empty = (np.linalg.norm(stored, axis=1) > 0) != (np.linalg.norm(new, axis=1) > 0)
    return 0.0 if empty.any() else float(cosines.min())
