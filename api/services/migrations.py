"""Re-embed migrations for the routes: planned, started, found, commanded and described."""

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar
from uuid import UUID

import msgspec
from litestar.response import ServerSentEventMessage
from sqlalchemy.ext.asyncio import AsyncConnection

from api.http import bodies, problems
from api.schemas import common as common_schemas
from api.schemas import migrations as schemas
from api.schemas import reports as report_schemas
from api.service import Service
from embedding.text.chunking import Chunking
from indexing.catalog import Collection
from migrations.reembed import errors, status
from migrations.reembed import migration as reembed
from migrations.reembed.migration import Migration
from migrations.reembed.planning import plan as planning
from migrations.reembed.verifying.report import Report
from storage import collections, migration_states, migrations
from storage.errors import IndexChanged

T = TypeVar("T")

# Meanwhile the migration may have moved on, or the collection may have been cut over.
ATTEMPTS = 5
_LOOK_EVERY_S = 0.5
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?([smhd])?")
_LONGEST_S = 366 * 86400.0


async def start(
    service: Service, name: str, request: schemas.NewMigration
) -> UUID | schemas.NotNeeded:
    """Raises MigrationRunning, ChunkingInvalid, Invalid, and what `using` does."""
    options = parse_options(request)
    golden = _golden(request)
    async with service.using(request.model) as loaded:
        for attempt in range(ATTEMPTS):
            collection = await _read_collection(service, name)
            await _refuse_second(service, collection)
            difference = await service.starter.find_difference(
                collection, loaded, _parse_chunking(request.chunking), request.model
            )
            if difference.change == "query-prompt":
                await service.starter.set_query_prompt(collection, difference.query_prompt)
                return schemas.NotNeeded(change="query-prompt", detail=difference.detail)
            if difference.change == "none":
                return schemas.NotNeeded(change="none", detail=difference.detail)
            try:
                return await service.starter.start(
                    collection, loaded, difference, options=options, golden=golden
                )
            except IndexChanged:
                if attempt == ATTEMPTS - 1:
                    raise
    raise AssertionError("unreachable: the last attempt raises")


async def plan(service: Service, name: str, request: schemas.PlanRequest) -> schemas.Plan:
    """Raises as `start` does."""
    async with service.using(request.model) as loaded:
        collection = await _read_collection(service, name)
        difference = await service.starter.find_difference(
            collection, loaded, _parse_chunking(request.chunking), request.model
        )
        subject = planning.PlanSubject(
            engine=service.engine,
            models=service.models,
            collection=collection.row,
            source=collection.active,
            target=loaded,
            chunking=difference.chunking,
            free_bytes=_free_bytes(service),
        )
        measured = _convert(await planning.make_plan(subject), schemas.Plan)
    if difference.change != "query-prompt":
        return measured
    return msgspec.structs.replace(
        measured, needed=False, change="query-prompt", detail=difference.detail
    )


def _golden(request: schemas.NewMigration) -> list[dict[str, object]] | None:
    if request.golden is None:
        return None
    for no, query in enumerate(request.golden):
        bodies.check_text(query.q, f"golden[{no}].q")
        for id_ in query.relevant:
            bodies.check_text(id_, f"golden[{no}].relevant")
    golden: list[dict[str, object]] = msgspec.to_builtins(request.golden)
    return golden


def _free_bytes(service: Service) -> int | None:
    """On this machine's disk for the database; a server's disk can't be seen from here."""
    if service.settings.database_url is not None:
        return None
    return shutil.disk_usage(service.settings.data_dir).free


def _parse_chunking(options: common_schemas.ChunkingOptions | None) -> Chunking | None:
    if options is None:
        return None
    return Chunking(strategy=options.strategy, size=options.size, overlap=options.overlap)


async def _read_collection(service: Service, name: str) -> Collection:
    """As the database has it now, not as the catalog remembers it."""
    service.catalog.forget(name)
    return await service.catalog.find(name)


async def _refuse_second(service: Service, collection: Collection) -> None:
    async with service.engine.connect() as conn:
        other = await migrations.find_open(conn, collection.row.id)
    if other is not None:
        raise errors.MigrationRunning(collection.row.name, other.id, other.state)


def parse_options(request: schemas.NewMigration) -> reembed.Options:
    """Raises Invalid."""
    if request.gates.ndcg_drop is not None and not request.golden:
        raise problems.Invalid(
            "gates.ndcg_drop",
            "is measured with judged queries: send them as `golden` (--golden FILE)",
        )
    return reembed.Options(
        gates=reembed.Gates(
            recall=request.gates.recall,
            ndcg_drop=request.gates.ndcg_drop,
            overlap=request.gates.overlap,
        ),
        manual=request.manual,
        retain_s=parse_duration(request.retain, "retain"),
        max_rate=request.max_rate,
        query_p95_ms=request.query_p95_ms,
        waive_failed=request.waive_failed,
    )


def parse_duration(duration: str | float, field: str) -> float:
    """`24h`, `30 m`, `90` in seconds. Raises Invalid."""
    match = _DURATION.fullmatch(duration.strip()) if isinstance(duration, str) else None
    if isinstance(duration, str) and match is None:
        raise problems.Invalid(
            field, f"{duration!r} is not a duration; write it as 24h, 30m, 90s or 7d"
        )
    seconds = float(match[1]) * _SECONDS[match[2] or "s"] if match else float(duration)
    if seconds > _LONGEST_S:
        raise problems.Invalid(field, "is longer than a year")
    return seconds


async def find(service: Service, name: str, migration_id: str) -> Migration:
    """Raises CollectionNotFound, MigrationNotFound."""
    async with service.engine.connect() as conn:
        collection = await collections.find(conn, name)
        try:
            migration = await reembed.read(conn, UUID(migration_id))
        except ValueError:
            migration = None
    if migration is None or migration.collection.id != collection.id:
        raise errors.MigrationNotFound(name, migration_id[:100])
    return migration


async def list_all(service: Service, name: str) -> schemas.MigrationList:
    """Raises CollectionNotFound."""
    async with service.engine.connect() as conn:
        collection = await collections.find(conn, name)
        rows = await migrations.of_collection(conn, collection.id)
        read = [await reembed.from_row(conn, row) for row in rows]
        items = [await _describe(conn, service, item) for item in read if item is not None]
    return schemas.MigrationList(items=items, next_cursor=None)


async def show(service: Service, name: str, migration_id: str) -> schemas.Migration:
    """Raises CollectionNotFound, MigrationNotFound."""
    migration = await find(service, name, migration_id)
    async with service.engine.connect() as conn:
        return await _describe(conn, service, migration)


async def apply(
    service: Service,
    name: str,
    migration_id: str,
    command: Callable[[Migration], Awaitable[object]],
) -> schemas.Migration:
    """Carry out a command, again if the migration moved on meanwhile; the migration afterwards."""
    for attempt in range(ATTEMPTS):
        migration = await find(service, name, migration_id)
        try:
            await command(migration)
            break
        except (errors.LeaseLost, IndexChanged):
            if attempt == ATTEMPTS - 1:
                raise
    service.catalog.forget(name)
    return await show(service, name, migration_id)


async def stream_events(
    service: Service, name: str, migration_id: str
) -> AsyncIterator[ServerSentEventMessage]:
    """An event at every change, until the migration is over or the service stops."""
    last = b""
    while not service.stopping.is_set():
        try:
            answer = await show(service, name, migration_id)
        except Exception as error:  # the stream has begun: its end says why
            problem = msgspec.json.encode(problems.describe_and_log(error))
            yield ServerSentEventMessage(event="problem", data=problem.decode())
            return
        content = msgspec.json.encode(answer)
        if content != last:
            last = content
            yield ServerSentEventMessage(event="migration", data=content.decode())
        if answer.state in migration_states.ENDED:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_EVERY_S):
                await service.stopping.wait()


async def read_report(
    service: Service, name: str, migration_id: str
) -> tuple[Migration, report_schemas.Report]:
    """Raises CollectionNotFound, MigrationNotFound, ReportMissing."""
    migration = await find(service, name, migration_id)
    if migration.row.report is None:
        raise errors.ReportMissing(
            f"the migration {migration.id} is {migration.state} and has not been verified yet"
        )
    return migration, report_schemas.report(Report.from_stored(migration.row.report))


async def _describe(
    conn: AsyncConnection, service: Service, migration: Migration
) -> schemas.Migration:
    now, row = await status.read(conn, migration), migration.row
    return schemas.Migration(
        id=str(migration.id),
        collection=migration.collection.name,
        state=migration.state,
        resume_state=migration.resume_state,
        source=_side(service, migration.sides.source),
        target=_side(service, migration.sides.target),
        waiting=row.waiting,
        error=row.error,
        next=now.next,
        options=_convert(migration.options, schemas.MigrationOptions),
        progress=_convert(now.progress, schemas.MigrationProgress),
        lag=None if now.lag is None else _convert(now.lag, schemas.Lag),
        failed=[schemas.FailedText(id=id_, reason=reason) for id_, reason in now.failed],
        verdict=None
        if row.report is None
        else report_schemas.verdict(Report.from_stored(row.report).verdict),
        history=_convert(reembed.state_changes(row.history), list[schemas.StateChange]),
        retained_until=row.retained_until,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _side(service: Service, side: reembed.IndexSummary) -> schemas.MigrationSide:
    return schemas.MigrationSide(
        index=side.index,
        space=common_schemas.SpaceName(id=side.fingerprint, model=side.model_id),
        chunking=common_schemas.Chunking(
            strategy=side.strategy, size=side.size, overlap=side.overlap
        ),
        loaded=any(model.fingerprint == side.fingerprint for model in service.models.loaded),
    )


def _convert(value: object, kind: type[T]) -> T:
    """A value of the engine as the wire struct that has its fields."""
    return msgspec.convert(value, kind, from_attributes=True)
