"""Starting a migration: what it would change, and creating the target under the fence."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal
from uuid import UUID

import msgspec
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from embedding.text.chunking import CHUNKER_VERSION, Chunking
from indexing.catalog import Collection, chunking_of, index_chunking
from indexing.models.loaded import Loaded
from indexing.models.pool import ModelPool
from migrations.reembed import cutover, errors
from migrations.reembed.migration import IndexSummaries, Options
from storage import collections, indexes, migrations, spaces
from storage.errors import IndexChanged
from storage.indexes import IndexRow

Change = Literal["none", "query-prompt", "chunking", "space"]


@dataclasses.dataclass(frozen=True)
class Difference:
    """What a migration would change in a collection's index; `detail` says so to people."""

    change: Change
    detail: str
    chunking: Chunking
    query_prompt: str


def target_chunking(active: Chunking, chunking: Chunking | None, *, same_space: bool) -> Chunking:
    """`chunking` if given, else the active strategy, with default sizes for another model."""
    if chunking is not None:
        return chunking
    return active if same_space else Chunking(active.strategy)


def find_change(source: IndexRow, target: Loaded, chunking: Chunking) -> Change:
    """What would change, except for the query prompt, which belongs to the space."""
    if target.space_id != source.space_id:
        return "space"
    same = chunking_of(source) == chunking
    return "none" if same and source.chunker_version == CHUNKER_VERSION else "chunking"


def _difference(
    collection: Collection, loaded: Loaded, chunking: Chunking | None, model: str
) -> Difference:
    active = collection.active
    same_space = loaded.space_id == active.space_id
    target = target_chunking(chunking_of(active), chunking, same_space=same_space)
    resolved = target.resolve(loaded.model.tokenizer, loaded.model.space.document_prompt)
    prompt = loaded.model.description.query_prompt.text
    name = collection.row.name
    change = find_change(active, loaded, resolved)
    if change == "space":
        detail = f"{name!r} moves from {active.model_id} to {model}: another space"
        return Difference(change, detail, resolved, prompt)
    if change == "chunking":
        detail = f"{name!r} stays in the space of {active.model_id} with other chunks"
        return Difference(change, detail, resolved, prompt)
    return Difference(
        change,
        f"{name!r} already uses the space of {model} with this chunking: nothing to embed",
        resolved,
        prompt,
    )


class Starter:
    """Compares a collection with what it may migrate to, and starts migrations."""

    def __init__(self, engine: AsyncEngine, models: ModelPool) -> None:
        self._engine = engine
        self._models = models

    async def find_difference(
        self, collection: Collection, loaded: Loaded, chunking: Chunking | None, model: str
    ) -> Difference:
        """What would change with `model`, which may be no more than the query prompt.

        Raises ChunkingInvalid.
        """
        difference = _difference(collection, loaded, chunking, model)
        if difference.change != "none":
            return difference
        prompt = (await self._models.describe(model)).query_prompt.text
        async with self._engine.connect() as conn:
            row = await spaces.by_id(conn, collection.active.space_id)
        if prompt == row.query_prompt:
            return difference
        return dataclasses.replace(
            difference,
            change="query-prompt",
            detail=f"{collection.row.name!r} stays in its space; only the query prompt changes, "
            f"from {row.query_prompt!r} to {prompt!r}, for every collection in this space; "
            "nothing is embedded again",
            query_prompt=prompt,
        )

    async def set_query_prompt(self, collection: Collection, prompt: str) -> None:
        """Takes effect at once in this process, within seconds in others."""
        async with self._engine.begin() as conn:
            await spaces.set_query_prompt(conn, collection.active.space_id, prompt)
        await self._models.follow_prompts()

    async def start(
        self,
        collection: Collection,
        loaded: Loaded,
        difference: Difference,
        *,
        options: Options,
        golden: Sequence[Mapping[str, object]] | None,
    ) -> UUID:
        """Create a planned migration; from now on writes record what the target lacks.

        Raises MigrationRunning; IndexChanged if the collection changed meanwhile.
        """
        migration_ids: list[UUID] = []

        async def work(conn: AsyncConnection) -> None:
            target = await _create_target(conn, collection, loaded, difference.chunking)
            created = await migrations.create(
                conn,
                collection_id=collection.row.id,
                source_index_id=collection.active.id,
                target_index_id=target.id,
                options=options.to_stored(),
                sides=msgspec.to_builtins(IndexSummaries.from_rows(collection.active, target)),
                golden=golden,
            )
            migration_ids.append(created)

        try:
            await cutover.run_fenced(self._engine, work)
        except IntegrityError as error:
            await self._refuse_second(collection, error)
            raise
        finally:
            self._models.keep(loaded)
        return migration_ids[-1]

    async def _refuse_second(self, collection: Collection, error: IntegrityError) -> None:
        async with self._engine.connect() as conn:
            other = await migrations.find_open(conn, collection.row.id)
        if other is not None:
            raise errors.MigrationRunning(collection.row.name, other.id, other.state) from error


async def _create_target(
    conn: AsyncConnection, collection: Collection, loaded: Loaded, chunking: Chunking
) -> IndexRow:
    """Raises IndexChanged."""
    row = await collections.find(conn, collection.row.name)
    if row.active_index_id != collection.active.id:
        raise IndexChanged(collection.row.name)
    index_id = await indexes.create(
        conn,
        collection_id=row.id,
        space_id=loaded.space_id,
        dimensions=loaded.model.space.dimensions,
        chunking=index_chunking(chunking),
        state="building",
    )
    await collections.set_building(conn, row.id, index_id)
    target = await indexes.by_id(conn, index_id)
    if target is None:
        raise LookupError(index_id)
    return target
