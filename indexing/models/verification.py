"""Verifies that a loaded model may write and serve: its canaries match those of its space."""

import dataclasses
import functools
from collections.abc import AsyncGenerator, Sequence

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding import model
from embedding.canaries import check as canary_check
from embedding.model_files import description
from indexing import errors, retries
from indexing.models.loaded import Loaded, LoadedModels
from storage import spaces

log = structlog.get_logger()


@dataclasses.dataclass(frozen=True)
class Accepted:
    """The stored space of a model, and the report on its canaries (all of them if `full`)."""

    row: spaces.SpaceRow
    report: canary_check.CanaryReport
    full: bool


async def accept(
    engine: AsyncEngine, opened: model.LoadedModel, options: description.ModelOptions
) -> Accepted:
    """Store the space if it is new, and compare the canaries with the stored ones.

    Raises LoadRefused.
    """
    async with engine.begin() as conn:
        row = await spaces.ensure(conn, _new_space(opened, options))
    full = row.build != opened.build
    report = await verify_canaries(opened, row, canary_check.ALL if full else canary_check.QUICK)
    if full:
        async with engine.begin() as conn:
            await spaces.record_build(conn, row.id, opened.build)
    return Accepted(row, report, full)


async def verify_canaries(
    opened: model.LoadedModel, row: spaces.SpaceRow, which: Sequence[int]
) -> canary_check.CanaryReport:
    """Compare these canaries (by their numbers) with the stored ones. Raises LoadRefused."""
    if row.canaries_version != canary_check.VERSION:
        raise errors.LoadRefused(
            f"the space {row.fingerprint} was stored with canaries of version "
            f"{row.canaries_version}, this program has version {canary_check.VERSION}: install the "
            "version of Vecmark that stored it"
        )
    report = await opened.check_canaries(which, reference=row.canaries)
    if report.level == "refuse":
        raise errors.LoadRefused(
            f"{opened.description.name} produces other vectors than those stored for its space: "
            f"{report.describe()}. It is not used: go back to the earlier library versions or "
            "hardware"
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
        canaries_version=canary_check.VERSION,
    )


async def check_rest(
    engine: AsyncEngine, models: LoadedModels
) -> AsyncGenerator[tuple[Loaded, str], None]:
    """Compare all canaries of models that were accepted by a few; yields each that moved, and why.

    A model stays in memory until the next one is requested.
    """

    async def space(space_id: int) -> spaces.SpaceRow:
        async with engine.connect() as conn:
            return await spaces.by_id(conn, space_id)

    for loaded in models:
        # A model that was unloaded meanwhile needs no check.
        if loaded.full or not models.holds(loaded):
            continue
        with models.pinned(loaded):
            row = await retries.writing(functools.partial(space, loaded.space_id))
            try:
                report = await verify_canaries(loaded.model, row, canary_check.ALL)
            except errors.LoadRefused as error:
                yield loaded, str(error)
            else:
                models.replace(loaded, report=report, full=True)


async def follow_prompts(engine: AsyncEngine, models: LoadedModels) -> None:
    """Use the query prompts that were set meanwhile; no stored vector depends on them."""
    async with engine.connect() as conn:
        prompts = await spaces.query_prompts(conn)
    for loaded in models:
        prompt = prompts.get(loaded.fingerprint)
        current = loaded.model.description.query_prompt.text
        # A model that is only linked to the space keeps its own prompt.
        is_own = loaded.fingerprint == loaded.model.space.fingerprint
        if is_own and prompt is not None and prompt != current:
            loaded.model.set_query_prompt(prompt)
            log.info("query_prompt_set", model=loaded.name, space=loaded.fingerprint)
