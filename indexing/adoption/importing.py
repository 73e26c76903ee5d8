"""A foreign table becomes a collection: its documents and its vectors, nothing embedded again."""

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
from indexing.adoption.rows import Made, RowTally, Rules
from indexing.catalog import index_chunking
from storage import collections, fence, indexes, pending, vector_tables, vectors
from storage import engine as database
from storage.adoption import staging
from storage.adoption.source_rows import SourceRow
from storage.adoption.staging import StagedCollection

log = structlog.get_logger()

_AT_ONCE = 1000
_CHARS_AT_ONCE = 16_000_000
_SWEPT_AT_ONCE = 5000

Pages = AsyncIterator[list[SourceRow]]


@dataclasses.dataclass(frozen=True)
class Target:
    """The collection to make: its name, its space, and how rows are judged."""

    name: str
    space_id: int
    limits: rows.RowLimits
    stale: frozenset[str]
    cut_elsewhere: bool
    evidence: Mapping[str, object]


async def require_free(engine: AsyncEngine, name: str) -> None:
    """Raises AdoptionRefused where no new collection can be called so."""
    if not collections.is_name(name):
        raise errors.AdoptionRefused(
            f"{name!r} is no name of a collection: lower-case letters, digits, _ and -, at most 63"
        )
    async with engine.connect() as conn:
        taken = await staging.exists(conn, name)
    if taken:
        raise errors.AdoptionRefused(
            f"there is a collection {name} already; delete it or choose another name"
        )


async def run(
    engine: AsyncEngine,
    model: LoadedModel,
    target: Target,
    pages: Pages,
    progress: Callable[[int], None],
) -> RowTally:
    """The whole collection, or nothing of it. Raises AdoptionRefused, SourceUnusable.

    `progress` is told how many more rows are there.
    """
    prompt = model.description.document_prompt.text
    cutting = chunking.Chunking("none").resolve(model.tokenizer, prompt)
    half = await _begin(engine, model, target, cutting)
    try:
        async with engine.connect() as holding:
            if not await staging.hold(holding, half):
                raise errors.AdoptionRefused(_LOST)
            work = _Import(engine, model, half, target, cutting)
            await work.fill(pages, progress)
            await _finish(holding, half, target)
    except BaseException:
        # The lock on it has gone with the connection.
        await _clear(engine, half.name)
        raise
    return work.tally


_LOST = (
    "the database lost the connection that held what was imported, which was taken away; adopt"
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
            f"another `vecmark adopt` is making the collection {target.name}"
        ) from error


async def _finish(conn: AsyncConnection, half: StagedCollection, target: Target) -> None:
    try:
        await staging.finish(conn, half, target.evidence)
        await conn.commit()
    except IntegrityError as error:
        raise errors.AdoptionRefused(
            f"a collection {half.name} was made meanwhile; delete it or choose another name"
        ) from error


async def _clear(engine: AsyncEngine, name: str) -> None:
    """Remove what an adoption of this name left that ended before its time.

    Where that fails, a service removes it when it starts.
    """
    try:
        async with engine.begin() as conn:
            gone = await staging.clear(conn, name)
        for half in gone:
            async with engine.begin() as conn:
                await vector_tables.drop(conn, half.index_id)
                await indexes.remove(conn, half.index_id)
            swept = _SWEPT_AT_ONCE
            while swept == _SWEPT_AT_ONCE:
                async with engine.begin() as conn:
                    swept = await staging.sweep(conn, half, _SWEPT_AT_ONCE)
    except database.FAILURES as error:
        log.warning("half_made_collection_left", collection=name, reason=type(error).__name__)


class _Import:
    """Rows on their way into a collection that nobody finds yet."""

    def __init__(
        self,
        engine: AsyncEngine,
        model: LoadedModel,
        half: StagedCollection,
        target: Target,
        cutting: chunking.Chunking,
    ) -> None:
        self._engine = engine
        self._model = model
        self._half = half
        self._cutting = cutting
        self._rules = Rules(
            collection_id=half.collection_id,
            space_id=target.space_id,
            dimensions=model.space.dimensions,
            limits=target.limits,
            stale=target.stale,
            cut_elsewhere=target.cut_elsewhere,
        )
        self.tally = RowTally()

    async def fill(self, pages: Pages, progress: Callable[[int], None]) -> None:
        """All pages; a batch is read and tokenized while the one before it is written."""
        writing: asyncio.Task[None] | None = None
        try:
            async with contextlib.aclosing(_batches(pages)) as batches:
                async for batch in batches:
                    made = await self._made(batch)
                    if writing is not None:
                        await writing
                    writing = asyncio.create_task(self._write(made), name="adopt-write")
                    progress(len(batch))
            if writing is not None:
                await writing
        finally:
            if writing is not None:
                writing.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await writing

    async def _made(self, batch: Sequence[SourceRow]) -> list[Made]:
        good = []
        for row in batch:
            reason = self._rules.refusal(row)
            if reason is None:
                good.append(row)
            else:
                self.tally.leave_out(reason, row.id)
        prepared = await self._model.prepare([row.text or "" for row in good], self._cutting)
        made: list[Made] = []
        for row, one in zip(good, prepared, strict=True):
            found = self._rules.make(row, one)
            if isinstance(found, Made):
                made.append(found)
            else:
                self.tally.leave_out(found, row.id)
        return made

    async def _write(self, made: Sequence[Made]) -> None:
        """One transaction; an id that is there already stays as it is."""
        first, again = rows.unique(made)
        half = self._half
        async with self._engine.begin() as conn:
            live = await fence.enter(conn, half.collection_id)
            if half.index_id not in {index.id for index in live}:
                raise errors.AdoptionRefused(_LOST)
            new = await staging.add(conn, half.collection_id, [one.document for one in first])
            added = [one for one in first if one.document.doc_key in new]
            await vectors.copy_in(
                conn, half.index_id, [one.vector for one in added if one.vector is not None]
            )
            lacking = {
                one.document.doc_key: one.document.text_hash for one in added if one.vector is None
            }
            if lacking:
                await pending.add(conn, half.index_id, lacking)
        for one in added:
            self.tally.take(one)
        again += [one for one in first if one.document.doc_key not in new]
        for one in again:
            self.tally.leave_out("id twice", one.document.id)


async def _batches(pages: Pages) -> AsyncGenerator[list[SourceRow], None]:
    """Pages together, until it pays to write them."""
    batch: list[SourceRow] = []
    chars = 0
    async for page in pages:
        batch += page
        chars += sum(len(row.text or "") for row in page)
        if len(batch) >= _AT_ONCE or chars >= _CHARS_AT_ONCE:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch
