"""The start of a migration: what it would change, and its two indexes under one fence."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal
from uuid import UUID

import msgspec
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from embedding.text.chunking import CHUNKER_VERSION, Chunking
from indexing.catalog import Catalog, Collection, chunking_of, index_chunking
from indexing.models.loaded import Loaded
from indexing.models.pool import ModelPool
from migrations.reembed import cutover, errors
from migrations.reembed.migration import IndexSummaries, IndexSummary, Options
from storage import collections, indexes, migrations, spaces
from storage.errors import IndexChanged

Change = Literal["none", "query-prompt", "chunking", "space"]


@dataclasses.dataclass(frozen=True)
class Difference:
    """What a collection's index would have to change; `detail` says it to a person."""

    change: Change
    detail: str
    chunking: Chunking
    query_prompt: str

    @property
    def needed(self) -> bool:
        return self.change in {"chunking", "space"}


def target_chunking(active: Chunking, chunking: Chunking | None, *, same_space: bool) -> Chunking:
    """What was asked for; else the collection's own, its sizes being those of the new model."""
    if chunking is not None:
        return chunking
    return active if same_space else Chunking(active.strategy)


async def find_difference(
    engine: AsyncEngine, collection: Collection, loaded: Loaded, chunking: Chunking | None, to: str
) -> Difference:
    """Raises ChunkingInvalid."""
    active = collection.active
    same_space = loaded.space_id == active.space_id
    wish = target_chunking(chunking_of(active), chunking, same_space=same_space)
    resolved = wish.resolve(loaded.model.tokenizer, loaded.model.space.document_prompt)
    prompt = loaded.model.description.query_prompt.text
    name = collection.row.name
    if not same_space:
        detail = f"{name!r} moves from {active.model_id} to {to}: another space"
        return Difference("space", detail, resolved, prompt)
    if resolved != chunking_of(active) or active.chunker_version != CHUNKER_VERSION:
        detail = f"{name!r} stays in the space of {active.model_id} with other chunks"
        return Difference("chunking", detail, resolved, prompt)
    return Difference(
        "none",
        f"{name!r} is in the space of {to} with this chunking already: nothing to do, 0 embeddings",
        resolved,
        prompt,
    )


class Starter:
    def __init__(self, engine: AsyncEngine, models: ModelPool, catalog: Catalog) -> None:
        self._engine = engine
        self._models = models
        self._catalog = catalog

    async def find_difference(
        self, collection: Collection, loaded: Loaded, chunking: Chunking | None, to: str
    ) -> Difference:
        """As the function, and whether another query prompt is all that `to` brings."""
        found = await find_difference(self._engine, collection, loaded, chunking, to)
        if found.change != "none":
            return found
        described = await self._models.describe(to)
        prompt = described.query_prompt.text
        async with self._engine.connect() as conn:
            row = await spaces.by_id(conn, collection.active.space_id)
        if prompt == row.query_prompt:
            return found
        return dataclasses.replace(
            found,
            change="query-prompt",
            detail=f"{collection.row.name!r} stays in its space: only the query prompt becomes "
            f"{prompt!r} instead of {row.query_prompt!r}, for every collection of the space; "
            "nothing is embedded again",
            query_prompt=prompt,
        )

    async def set_query_prompt(self, collection: Collection, prompt: str) -> None:
        """At once in this process, within seconds in the others."""
        async with self._engine.begin() as conn:
            await spaces.set_query_prompt(conn, collection.active.space_id, prompt)
        await self._models.follow_prompts()

    async def start(
        self,
        collection: Collection,
        loaded: Loaded,
        found: Difference,
        *,
        options: Options,
        golden: Sequence[Mapping[str, object]] | None,
    ) -> UUID:
        """A planned migration with the target's empty table.

        Every write that commits after this one notes what the target lacks. Raises
        MigrationRunning; IndexChanged where the collection changed meanwhile.
        """
        made: list[UUID] = []

        async def work(conn: AsyncConnection) -> None:
            made.append(
                await self._make(conn, collection, loaded, found, options=options, golden=golden)
            )

        try:
            await cutover.run_fenced(self._engine, work)
        except IntegrityError as error:
            await self._refuse_second(collection, error)
            raise
        finally:
            self._models.claim(loaded)
        return made[-1]

    async def _make(
        self,
        conn: AsyncConnection,
        collection: Collection,
        loaded: Loaded,
        found: Difference,
        *,
        options: Options,
        golden: Sequence[Mapping[str, object]] | None,
    ) -> UUID:
        row = await collections.find(conn, collection.row.name)
        if row.active_index_id != collection.active.id:
            raise IndexChanged(collection.row.name)
        target = await indexes.create(
            conn,
            collection_id=row.id,
            space_id=loaded.space_id,
            dimensions=loaded.model.space.dimensions,
            chunking=index_chunking(found.chunking),
            state="building",
        )
        await collections.set_building(conn, row.id, target)
        made = await indexes.by_id(conn, target)
        if made is None:
            raise LookupError(target)
        sides = IndexSummaries(
            source=IndexSummary.from_row(collection.active), target=IndexSummary.from_row(made)
        )
        return await migrations.create(
            conn,
            collection_id=row.id,
            source_index_id=collection.active.id,
            target_index_id=target,
            options=options.to_stored(),
            sides=msgspec.to_builtins(sides),
            golden=golden,
        )

    async def _refuse_second(self, collection: Collection, error: IntegrityError) -> None:
        async with self._engine.connect() as conn:
            other = await migrations.find_open(conn, collection.row.id)
        if other is not None:
            raise errors.MigrationRunning(collection.row.name, other.id, other.state) from error
