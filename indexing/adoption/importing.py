"""Imports another program's table as a collection: documents and vectors, nothing is embedded."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from embedding.model import LoadedModel
from embedding.text import chunking
from indexing import errors
from indexing.adoption import rows
from indexing.adoption.rows import ImportedRow, RowTally, Rules
from indexing.catalog import index_chunking
from storage import collections, fence, indexes, pending, vector_tables, vectors
from storage import engine as database
from storage.adoption import staging
from storage.adoption.source_rows import SourceRow
from storage.adoption.staging import StagedCollection

log = structlog.get_logger()

_BATCH_ROWS = 1000
_BATCH_CHARS = 16_000_000
_ROWS_PER_SWEEP = 5000

Pages = AsyncIterator[list[SourceRow]]


@dataclasses.dataclass(frozen=True)
class Target:
    """The collection to create: its name, its space, and how rows are judged."""

    name: str
    space_id: int
    limits: rows.RowLimits
    stale: frozenset[str]
    cut_elsewhere: bool
    evidence: Mapping[str, object]


async def require_free(engine: AsyncEngine, name: str) -> None:
    """Raises AdoptionRefused if no new collection can have this name."""
    if not collections.is_name(name):
        raise errors.AdoptionRefused(
            f"{name!r} is not a valid collection name: use lower-case letters, digits, _ and -, at"
            " most 63 characters"
        )
    async with engine.connect() as conn:
        taken = await staging.exists(conn, name)
    if taken:
        raise errors.AdoptionRefused(
            f"a collection {name} exists already; delete it or choose another name"
        )


async def run(
    engine: AsyncEngine,
    model: LoadedModel,
    target: Target,
    pages: Pages,
    progress: Callable[[int], None],
) -> RowTally:
    """Import the whole collection, or nothing of it. Raises AdoptionRefused, SourceUnusable.

    `progress` gets the number of further rows that were read.
    """
    prompt = model.description.document_prompt.text
    cutting = chunking.Chunking("none").resolve(model.tokenizer, prompt)
    staged = await _begin(engine, model, target, cutting)
    try:
        async with engine.connect() as holding:
            if not await staging.hold(holding, staged):
                raise errors.AdoptionRefused(_LOST)
            work = _Import(engine, model, staged, target, cutting)
            await work.fill(pages, progress)
            await _finish(holding, staged, target)
    except BaseException:
        # Its lock was released with the connection.
        await _clear(engine, staged.name)
        raise
    return work.tally


_LOST = (
    "the database connection that held the import was lost, and with it what was imported; adopt"
    " again"
)


async def _begin(
    engine: AsyncEngine, model: LoadedModel, target: Target, cutting: chunking.Chunking
) -> StagedCollection:
    await _clear(engine, target.name)
    try:
        async with engine.begin() as conn:
            return await staging.begin(
                conn,
                target.name,
                space_id=target.space_id,
                dimensions=model.space.dimensions,
                chunking=index_chunking(cutting),
            )
    except IntegrityError as error:
        raise errors.AdoptionRefused(
            f"another `vecmark adopt` is importing into the collection {target.name}"
        ) from error


async def _finish(conn: AsyncConnection, staged: StagedCollection, target: Target) -> None:
    try:
        await staging.finish(conn, staged, target.evidence)
        await conn.commit()
    except IntegrityError as error:
        raise errors.AdoptionRefused(
            f"a collection {staged.name} was created meanwhile; delete it or choose another name"
        ) from error


async def _clear(engine: AsyncEngine, name: str) -> None:
    """Remove what an interrupted adoption of this name left.

    If that fails, a service removes it when it starts.
    """
    try:
        async with engine.begin() as conn:
            abandoned = await staging.clear(conn, name)
        for staged in abandoned:
            async with engine.begin() as conn:
                await vector_tables.drop(conn, staged.index_id)
                await indexes.remove(conn, staged.index_id)
            swept = _ROWS_PER_SWEEP
            while swept == _ROWS_PER_SWEEP:
                async with engine.begin() as conn:
                    swept = await staging.sweep(conn, staged, _ROWS_PER_SWEEP)
    except database.FAILURES as error:
        log.warning("half_made_collection_left", collection=name, reason=type(error).__name__)


class _Import:
    """Writes rows into a collection that nobody can find yet."""

    def __init__(
        self,
        engine: AsyncEngine,
        model: LoadedModel,
        staged: StagedCollection,
        target: Target,
        cutting: chunking.Chunking,
    ) -> None:
        self._engine = engine
        self._model = model
        self._staged = staged
        self._cutting = cutting
        self._rules = Rules(
            collection_id=staged.collection_id,
            space_id=target.space_id,
            dimensions=model.space.dimensions,
            limits=target.limits,
            stale=target.stale,
            cut_elsewhere=target.cut_elsewhere,
        )
        self.tally = RowTally()

    async def fill(self, pages: Pages, progress: Callable[[int], None]) -> None:
        """Import all pages; each batch is read and tokenized while the previous one is written."""
        writing: asyncio.Task[None] | None = None
        try:
            async with contextlib.aclosing(_batches(pages)) as batches:
                async for batch in batches:
                    converted = await self._convert(batch)
                    if writing is not None:
                        await writing
                    writing = asyncio.create_task(self._write(converted), name="adopt-write")
                    progress(len(batch))
            if writing is not None:
                await writing
        finally:
            if writing is not None:
                writing.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await writing

    async def _convert(self, batch: Sequence[SourceRow]) -> list[ImportedRow]:
        usable = []
        for row in batch:
            reason = self._rules.refusal(row)
            if reason is None:
                usable.append(row)
            else:
                self.tally.leave_out(reason, row.id)
        prepared = await self._model.prepare([row.text or "" for row in usable], self._cutting)
        converted: list[ImportedRow] = []
        for row, text in zip(usable, prepared, strict=True):
            result = self._rules.convert(row, text)
            if isinstance(result, ImportedRow):
                converted.append(result)
            else:
                self.tally.leave_out(result, row.id)
        return converted

    async def _write(self, converted: Sequence[ImportedRow]) -> None:
        """In one transaction; a document that is stored already stays as it is."""
        first, repeated = rows.unique(converted)
        staged = self._staged
        async with self._engine.begin() as conn:
            live = await fence.enter(conn, staged.collection_id)
            if staged.index_id not in {index.id for index in live}:
                raise errors.AdoptionRefused(_LOST)
            new = await staging.add(conn, staged.collection_id, [row.document for row in first])
            added = [row for row in first if row.document.doc_key in new]
            await vectors.copy_in(
                conn, staged.index_id, [row.vector for row in added if row.vector is not None]
            )
            lacking = {
                row.document.doc_key: row.document.text_hash for row in added if row.vector is None
            }
            if lacking:
                await pending.add(conn, staged.index_id, lacking)
        for row in added:
            self.tally.take(row)
        repeated += [row for row in first if row.document.doc_key not in new]
        for row in repeated:
            self.tally.leave_out("id twice", row.document.id)


async def _batches(pages: Pages) -> AsyncGenerator[list[SourceRow], None]:
    """Pages joined to batches that are worth a transaction."""
    batch: list[SourceRow] = []
    chars = 0
    async for page in pages:
        batch += page
        chars += sum(len(row.text or "") for row in page)
        if len(batch) >= _BATCH_ROWS or chars >= _BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch
