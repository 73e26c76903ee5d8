"""Whether a loaded model may write and serve: its space is stored, its canaries did not move."""

import dataclasses
from collections.abc import Iterable

import numpy as np
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding import canaries, description, model
from indexing import errors
from storage import spaces

log = structlog.get_logger()


@dataclasses.dataclass(frozen=True)
class Accepted:
    """The stored space of a model, and what its canaries said (all of them if `full`)."""

    row: spaces.SpaceRow
    report: canaries.Report
    full: bool


async def accept(
    engine: AsyncEngine, opened: model.LoadedModel, options: description.ModelOptions
) -> Accepted:
    """Store the space if it is new; compare the canaries with the stored ones. LoadRefused."""
    async with engine.begin() as conn:
        row = await spaces.ensure(conn, _new_space(opened, options))
    full = row.build != opened.build
    report = await check(opened, row, canaries.ALL if full else canaries.QUICK)
    if full:
        async with engine.begin() as conn:
            await spaces.record_build(conn, row.id, opened.build)
    return Accepted(row, report, full)


async def check(
    opened: model.LoadedModel, row: spaces.SpaceRow, which: Iterable[int]
) -> canaries.Report:
    """Compare the model's canaries with the space's stored ones; raises LoadRefused."""
    chosen = list(which)
    if row.canaries_version != canaries.VERSION:
        raise errors.LoadRefused(
            f"the space {row.fingerprint} keeps canaries of version {row.canaries_version}, this "
            f"program has version {canaries.VERSION}: install the version that made it"
        )
    reference = row.canaries[np.asarray(chosen)]
    together = await opened.encode_canaries(chosen)
    # One at a time: queries of a model that serves already get their turn in between.
    alone = np.concatenate([await opened.encode_canaries([no], alone=True) for no in chosen])
    report = canaries.worse(
        canaries.compare(reference, together, chosen), canaries.compare(reference, alone, chosen)
    )
    if report.level == "refuse":
        raise errors.LoadRefused(
            f"{opened.description.name} makes other vectors than those stored for its space: "
            f"{report.describe()}. It neither writes nor serves: restore the former library "
            "versions or hardware"
        )
    if report.level == "warn":
        log.warning("canaries_moved", model=opened.description.name, report=report.describe())
    return report


def _new_space(opened: model.LoadedModel, options: description.ModelOptions) -> spaces.NewSpace:
    described = opened.description
    space = described.space
    return spaces.NewSpace(
        fingerprint=space.fingerprint,
        model_id=described.name,
        revision=described.revision,
        dimensions=space.dimensions,
        max_tokens=space.max_tokens,
        document_prompt=space.document_prompt,
        query_prompt=described.query_prompt.text,
        precision=space.precision,
        options=dataclasses.asdict(options),
        manifest=space.manifest,
        build=opened.build,
        canaries=opened.reference,
        canaries_version=canaries.VERSION,
    )
