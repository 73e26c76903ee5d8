"""What the routes of migrations do with the engine: the model found, the answer shaped."""

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import msgspec
from litestar.response import ServerSentEventMessage

from api.http import bodies, problems
from api.schemas import migrations as migration_schemas
from api.schemas.common import ChunkingOptions
from api.schemas.migrations import NewMigration, NotNeeded, PlanRequest
from api.service import Service
from embedding.text.chunking import Chunking
from indexing.catalog import Collection
from migrations.reembed import errors, migration, states
from migrations.reembed import migration as reembed
from migrations.reembed.migration import Migration
from migrations.reembed.planning import plan as planning
from migrations.reembed.planning.plan import Plan
from storage import collections, migrations
from storage.errors import IndexChanged

# A migration moves on, or a collection is cut over, between looking and doing.
ATTEMPTS = 5


async def start(service: Service, name: str, sent: NewMigration) -> UUID | NotNeeded:
    """Raises MigrationRunning, ChunkingInvalid, Invalid, and what `using` does."""
    options = options_of(sent)
    for no, query in enumerate(sent.golden or ()):
        bodies.check_text(query.q, f"golden[{no}].q")
        for id_ in query.relevant:
            bodies.check_text(id_, f"golden[{no}].relevant")
    golden = None if sent.golden is None else msgspec.to_builtins(sent.golden)
    async with service.using(sent.model) as loaded:
        for attempt in range(ATTEMPTS):
            collection = await _fresh(service, name)
            await _refuse_second(service, collection)
            found = await service.starter.find_difference(
                collection, loaded, _chunking(sent.chunking), sent.model
            )
            if found.change == "query-prompt":
                await service.starter.set_query_prompt(collection, found.query_prompt)
            if found.change in {"none", "query-prompt"}:
                return NotNeeded(
                    change="none" if found.change == "none" else "query-prompt",
                    detail=found.detail,
                )
            try:
                return await service.starter.start(
                    collection, loaded, found, options=options, golden=golden
                )
            except IndexChanged:
                if attempt == ATTEMPTS - 1:
                    raise
    raise AssertionError("unreachable: the last attempt raises")


async def plan(service: Service, name: str, sent: PlanRequest) -> Plan:
    """Raises as `start` does."""
    async with service.using(sent.model) as loaded:
        collection = await _fresh(service, name)
        found = await service.starter.find_difference(
            collection, loaded, _chunking(sent.chunking), sent.model
        )
        subject = planning.PlanSubject(
            engine=service.engine,
            models=service.models,
            collection=collection.row,
            source=collection.active,
            target=loaded,
            chunking=found.chunking,
            free_bytes=_free_bytes(service),
        )
        made = await planning.make_plan(subject)
    if found.change != "query-prompt":
        return made
    return msgspec.structs.replace(made, needed=False, change="query-prompt", detail=found.detail)


def _free_bytes(service: Service) -> int | None:
    """Where the database lies on this machine; a server's disk can't be seen from here."""
    if service.settings.database_url is not None:
        return None
    return shutil.disk_usage(service.settings.data_dir).free


def _chunking(wish: ChunkingOptions | None) -> Chunking | None:
    if wish is None:
        return None
    return Chunking(strategy=wish.strategy, size=wish.size, overlap=wish.overlap)


async def _fresh(service: Service, name: str) -> Collection:
    service.catalog.forget(name)
    return await service.catalog.find(name)


async def _refuse_second(service: Service, collection: Collection) -> None:
    async with service.engine.connect() as conn:
        other = await migrations.find_open(conn, collection.row.id)
    if other is not None:
        raise errors.MigrationRunning(collection.row.name, other.id, other.state)


async def find(service: Service, name: str, migration_id: str) -> Migration:
    """Raises CollectionNotFound, MigrationNotFound."""
    async with service.engine.connect() as conn:
        collection = await collections.find(conn, name)
        try:
            found = await migration.read(conn, UUID(migration_id))
        except ValueError:
            found = None
    if found is None or found.collection.id != collection.id:
        raise errors.MigrationNotFound(name, migration_id[:100])
    return found


async def page(service: Service, name: str) -> list[Migration]:
    async with service.engine.connect() as conn:
        collection = await collections.find(conn, name)
        rows = await migrations.of_collection(conn, collection.id)
        found = [await migration.from_row(conn, row) for row in rows]
    return [one for one in found if one is not None]


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?([smhd])?")
_LONGEST_S = 366 * 86400.0


def options_of(sent: migration_schemas.NewMigration) -> migration.Options:
    """Raises Invalid."""
    if sent.gates.ndcg_drop is not None and not sent.golden:
        raise problems.Invalid(
            "gates.ndcg_drop",
            "is measured by judged queries: send them as `golden` (--golden FILE)",
        )
    return migration.Options(
        gates=migration.Gates(
            recall=sent.gates.recall,
            ndcg_drop=sent.gates.ndcg_drop,
            overlap=sent.gates.overlap,
        ),
        manual=sent.manual,
        retain_s=seconds(sent.retain, "retain"),
        max_rate=sent.max_rate,
        query_p95_ms=sent.query_p95_ms,
        waive_failed=sent.waive_failed,
    )


def seconds(given: str | float, field: str) -> float:
    """`24h`, `30 m`, `90` in seconds. Raises Invalid."""
    match = _DURATION.fullmatch(given.strip()) if isinstance(given, str) else None
    if isinstance(given, str) and match is None:
        raise problems.Invalid(field, f"{given!r} is no duration such as 24h, 30m, 90s or 7d")
    found = float(match[1]) * _SECONDS[match[2] or "s"] if match else float(given)
    if found > _LONGEST_S:
        raise problems.Invalid(field, "is longer than a year")
    return found


_LOOK_EVERY_S = 0.5


async def event_stream(
    service: Service, collection: str, migration_id: str
) -> AsyncIterator[ServerSentEventMessage]:
    last = b""
    while not service.stopping.is_set():
        try:
            found = await describe(service, collection, migration_id)
        except Exception as error:  # the stream has begun: its end tells why
            told = msgspec.json.encode(problems.for_client(error))
            yield ServerSentEventMessage(event="problem", data=told.decode())
            return
        content = msgspec.json.encode(found)
        if content != last:
            last = content
            yield ServerSentEventMessage(event="migration", data=content.decode())
        if found.state in states.ENDED:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_EVERY_S):
                await service.stopping.wait()


async def describe(
    service: Service, collection: str, migration_id: str
) -> migration_schemas.Migration:
    found = await find(service, collection, migration_id)
    async with service.engine.connect() as conn:
        return await migration_schemas.describe(conn, service, found)


async def run_command(
    service: Service,
    collection: str,
    migration_id: str,
    order: Callable[[reembed.Migration], Awaitable[None]],
) -> migration_schemas.Migration:
    """Carry out an order, once more where the migration moved on meanwhile."""
    for attempt in range(ATTEMPTS):
        found = await find(service, collection, migration_id)
        try:
            await order(found)
            break
        except (errors.LeaseLost, IndexChanged):
            if attempt == ATTEMPTS - 1:
                raise
    service.catalog.forget(collection)
    return await describe(service, collection, migration_id)
