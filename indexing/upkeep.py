"""What is done for loaded models beside their use: all canaries, and prompts that were changed."""

import functools
from collections.abc import AsyncGenerator

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from embedding import canaries
from indexing import acceptance, errors, retries
from indexing.loaded import Loaded, LoadedModels
from storage import spaces

log = structlog.get_logger()


async def check_rest(
    engine: AsyncEngine, models: LoadedModels
) -> AsyncGenerator[tuple[Loaded, str], None]:
    """Compare all canaries of models that started on a few; those that moved, and what moved.

    Each is kept in memory until the next is asked for.
    """

    async def space(space_id: int) -> spaces.SpaceRow:
        async with engine.connect() as conn:
            return await spaces.by_id(conn, space_id)

    for loaded in models:
        # One that was unloaded meanwhile has nothing to answer for any more.
        if loaded.full or not models.holds(loaded):
            continue
        with models.pinned(loaded):
            row = await retries.writing(functools.partial(space, loaded.space_id))
            try:
                report = await acceptance.check(loaded.model, row, canaries.ALL)
            except errors.LoadRefused as error:
                yield loaded, str(error)
            else:
                models.replace(loaded, report=report, full=True)


async def follow_prompts(engine: AsyncEngine, models: LoadedModels) -> None:
    """Take the query prompts that were set for spaces meanwhile: they are no part of them."""
    async with engine.connect() as conn:
        wanted = await spaces.query_prompts(conn)
    for loaded in models:
        prompt = wanted.get(loaded.fingerprint)
        known = loaded.model.description.query_prompt.text
        # A model that is only linked to the space has a prompt of its own.
        is_own = loaded.fingerprint == loaded.model.space.fingerprint
        if is_own and prompt is not None and prompt != known:
            loaded.model.prompt_queries(prompt)
            log.info("query_prompt_set", model=loaded.name, space=loaded.fingerprint)
