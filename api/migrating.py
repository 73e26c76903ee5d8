"""What the routes of migrations do with the engine: the model found, the answer shaped."""

import shutil
from uuid import UUID

import msgspec

from api import bodies, migration_shapes
from api.migration_schemas import NewMigration, NotNeeded, PlanWish
from api.schemas import ChunkingWish
from api.service import Service
from embedding.chunking import Chunking
from indexing.catalog import Collection
from migrations.reembed import errors, migration
from migrations.reembed.migration import Migration
from migrations.reembed.planning import plan as planning
from migrations.reembed.planning.plan import Plan
from storage import collections, migrations
from storage.errors import IndexChanged

# A migration moves on, or a collection is cut over, between looking and doing.
ATTEMPTS = 5


async def start(service: Service, name: str, sent: NewMigration) -> UUID | NotNeeded:
    """Raises MigrationRunning, ChunkingInvalid, Invalid, and what `using` does."""
    options = migration_shapes.wished(sent)
    for no, query in enumerate(sent.golden or ()):
        bodies.check_text(query.q, f"golden[{no}].q")
        for id_ in query.relevant:
            bodies.check_text(id_, f"golden[{no}].relevant")
    golden = None if sent.golden is None else msgspec.to_builtins(sent.golden)
    async with service.using(sent.model) as loaded:
        for attempt in range(ATTEMPTS):
            collection = await _fresh(service, name)
            await _refuse_second(service, collection)
            found = await service.starter.difference(
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


async def plan(service: Service, name: str, sent: PlanWish) -> Plan:
    """Raises as `start` does."""
    async with service.using(sent.model) as loaded:
        collection = await _fresh(service, name)
        found = await service.starter.difference(
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
        made = await planning.plan(subject)
    if found.change != "query-prompt":
        return made
    return msgspec.structs.replace(made, needed=False, change="query-prompt", detail=found.detail)


def _free_bytes(service: Service) -> int | None:
    """Where the database lies on this machine; a server's disk can't be seen from here."""
    if service.settings.database_url is not None:
        return None
    return shutil.disk_usage(service.settings.data_dir).free


def _chunking(wish: ChunkingWish | None) -> Chunking | None:
    if wish is None:
        return None
    return Chunking(strategy=wish.strategy, size=wish.size, overlap=wish.overlap)


async def _fresh(service: Service, name: str) -> Collection:
    service.catalog.forget(name)
    return await service.catalog.find(name)


async def _refuse_second(service: Service, collection: Collection) -> None:
    async with service.engine.connect() as conn:
        other = await migrations.under_way(conn, collection.row.id)
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


async def every(service: Service, name: str) -> list[Migration]:
    async with service.engine.connect() as conn:
        collection = await collections.find(conn, name)
        rows = await migrations.of_collection(conn, collection.id)
        found = [await migration.complete(conn, row) for row in rows]
    return [one for one in found if one is not None]
