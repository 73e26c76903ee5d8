"""Collections: named sets of documents that are searched together."""

import dataclasses
import re
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import errors, names, vector_tables
from storage.tables import (
    collections,
    documents,
    indexes,
    migration_ranges,
    migrations,
    pending,
    queries,
)

_NAME = re.compile(names.COLLECTION_PATTERN)


@dataclasses.dataclass(frozen=True)
class CollectionRow:
    id: UUID
    name: str
    active_index_id: int
    building_index_id: int | None
    created_at: datetime


@dataclasses.dataclass(frozen=True)
class CollectionCounts:
    documents: int
    chunks: int
    pending: int


def is_name(name: str) -> bool:
    """Whether a collection can have this name."""
    return _NAME.fullmatch(name) is not None


async def find(conn: AsyncConnection, name: str) -> CollectionRow:
    """Raises CollectionNotFound, also for an invalid name, such as one that contains a NUL."""
    if not is_name(name):
        raise errors.CollectionNotFound(name)
    row = (await conn.execute(select(collections).where(collections.c.name == name))).first()
    if row is None or row.active_index_id is None:
        raise errors.CollectionNotFound(name)
    return CollectionRow(**row._mapping)


async def page(conn: AsyncConnection, after: str | None, limit: int) -> list[CollectionRow]:
    """Collections sorted by name, starting after `after`."""
    query = select(collections).where(collections.c.active_index_id.is_not(None))
    if after is not None:
        query = query.where(collections.c.name > after)
    rows = await conn.execute(query.order_by(collections.c.name).limit(limit))
    return [CollectionRow(**row._mapping) for row in rows]


async def create(conn: AsyncConnection, name: str) -> UUID:
    """A new collection, invisible until `activate`. Raises IntegrityError if the name exists."""
    query = insert(collections).values(name=name).returning(collections.c.id)
    return (await conn.execute(query)).scalar_one()


async def activate(conn: AsyncConnection, collection_id: UUID, index_id: int) -> None:
    await conn.execute(
        update(collections)
        .where(collections.c.id == collection_id)
        .values(active_index_id=index_id)
    )


async def set_building(conn: AsyncConnection, collection_id: UUID, index_id: int | None) -> None:
    await conn.execute(
        update(collections)
        .where(collections.c.id == collection_id)
        .values(building_index_id=index_id)
    )


async def switch_active(
    conn: AsyncConnection, collection_id: UUID, *, from_index: int, to_index: int
) -> bool:
    """The cutover itself; False if `from_index` is no longer the active index."""
    result = await conn.execute(
        update(collections)
        .where(collections.c.id == collection_id, collections.c.active_index_id == from_index)
        .values(active_index_id=to_index, building_index_id=None)
    )
    return result.rowcount == 1


async def by_id(conn: AsyncConnection, collection_id: UUID) -> CollectionRow | None:
    query = select(collections).where(collections.c.id == collection_id)
    row = (await conn.execute(query)).first()
    return None if row is None else CollectionRow(**row._mapping)


async def count(conn: AsyncConnection, collection: CollectionRow) -> CollectionCounts:
    table = vector_tables.name(collection.active_index_id)
    row = (
        await conn.execute(
            text(
                "SELECT (SELECT count(*) FROM documents WHERE collection_id = :id),"
                f" (SELECT count(*) FROM {table}),"
                " (SELECT count(*) FROM pending WHERE index_id = :index)"
            ),
            {"id": collection.id, "index": collection.active_index_id},
        )
    ).one()
    return CollectionCounts(*row)


async def count_documents(conn: AsyncConnection, collection_id: UUID) -> int:
    query = select(func.count()).where(documents.c.collection_id == collection_id)
    return int((await conn.execute(query)).scalar_one())


async def remove(conn: AsyncConnection, collection_id: UUID) -> None:
    """Make the collection disappear; its documents and tables are swept afterwards.

    The caller has closed the fence, so no write in progress can still commit into it.
    """
    await conn.execute(delete(collections).where(collections.c.id == collection_id))
    await conn.execute(
        update(indexes).where(indexes.c.collection_id == collection_id).values(state="retired")
    )
    for table in (migrations, queries):
        await conn.execute(delete(table).where(table.c.collection_id == collection_id))


async def sweep(conn: AsyncConnection, limit: int) -> int:
    """Delete up to `limit` documents whose collection is gone; returns how many."""
    orphans = (
        select(documents.c.doc_key)
        .where(
            ~select(collections.c.id).where(collections.c.id == documents.c.collection_id).exists()
        )
        .limit(limit)
    )
    result = await conn.execute(delete(documents).where(documents.c.doc_key.in_(orphans)))
    index = select(indexes.c.id).where(indexes.c.id == pending.c.index_id)
    await conn.execute(delete(pending).where(~index.exists()))
    # A process can record queries after the collection was deleted.
    collection = select(collections.c.id).where(collections.c.id == queries.c.collection_id)
    await conn.execute(delete(queries).where(~collection.exists()))
    # The ranges of a deleted collection's migrations.
    migration = select(migrations.c.id).where(migrations.c.id == migration_ranges.c.migration_id)
    await conn.execute(delete(migration_ranges).where(~migration.exists()))
    return result.rowcount
