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
    """Whether a collection can be called so."""
    return _NAME.fullmatch(name) is not None


async def find(conn: AsyncConnection, name: str) -> CollectionRow:
    """Raises CollectionNotFound, also for what can be no name, such as one with a NUL."""
    if not is_name(name):
        raise errors.CollectionNotFound(name)
    row = (await conn.execute(select(collections).where(collections.c.name == name))).first()
    if row is None or row.active_index_id is None:
        raise errors.CollectionNotFound(name)
    return CollectionRow(**row._mapping)


async def page(conn: AsyncConnection, after: str | None, limit: int) -> list[CollectionRow]:
    """Collections by name, those after `after`."""
    query = select(collections).where(collections.c.active_index_id.is_not(None))
    if after is not None:
        query = query.where(collections.c.name > after)
    rows = await conn.execute(query.order_by(collections.c.name).limit(limit))
    return [CollectionRow(**row._mapping) for row in rows]


async def create(conn: AsyncConnection, name: str) -> UUID:
    """A new collection, not found by anyone before `activate`; IntegrityError if it exists."""
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
    """The cut-over itself; False where `from_index` is not the active index any more."""
    done = await conn.execute(
        update(collections)
        .where(collections.c.id == collection_id, collections.c.active_index_id == from_index)
        .values(active_index_id=to_index, building_index_id=None)
    )
    return done.rowcount == 1


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
    """Take the collection away from everyone; its rows and tables are swept afterwards.

    The caller holds the fence closed: no write under way can commit into it any more.
    """
    await conn.execute(delete(collections).where(collections.c.id == collection_id))
    await conn.execute(
        update(indexes).where(indexes.c.collection_id == collection_id).values(state="retired")
    )
    for table in (migrations, queries):
        await conn.execute(delete(table).where(table.c.collection_id == collection_id))


async def sweep(conn: AsyncConnection, limit: int) -> int:
    """Delete up to `limit` documents whose collection is gone; how many there were."""
    orphans = (
        select(documents.c.doc_key)
        .where(
            ~select(collections.c.id).where(collections.c.id == documents.c.collection_id).exists()
        )
        .limit(limit)
    )
    done = await conn.execute(delete(documents).where(documents.c.doc_key.in_(orphans)))
    gone = select(indexes.c.id).where(indexes.c.id == pending.c.index_id)
    await conn.execute(delete(pending).where(~gone.exists()))
    # A process may note what was searched after the collection was deleted.
    there = select(collections.c.id).where(collections.c.id == queries.c.collection_id)
    await conn.execute(delete(queries).where(~there.exists()))
    # Ranges of a collection's migrations go with it.
    known = select(migrations.c.id).where(migrations.c.id == migration_ranges.c.migration_id)
    await conn.execute(delete(migration_ranges).where(~known.exists()))
    return done.rowcount
