"""Collections that are filled from another program's table: invisible until they are complete.

A transaction that lasts as long as the import locks the collection's row. If the process dies, the
lock goes with it, and others know that they can remove what it left.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import collections, indexes
from storage.documents import NewDocumentRow
from storage.tables import collections as collections_table
from storage.tables import documents as documents_table
from storage.tables import indexes as indexes_table
from storage.tables import pending as pending_table

# No collection can have such a name, so nobody finds it before `finish`.
_PREFIX = "adopting:"
# Between the commit of `begin` and the lock of `hold`, nobody holds the collection.
_GRACE_S = 60


@dataclasses.dataclass(frozen=True)
class StagedCollection:
    collection_id: UUID
    index_id: int
    name: str


async def exists(conn: AsyncConnection, name: str) -> bool:
    """Whether there is a complete collection of this name."""
    query = select(collections_table.c.id).where(collections_table.c.name == name)
    return (await conn.execute(query)).first() is not None


async def begin(
    conn: AsyncConnection,
    name: str,
    *,
    space_id: int,
    dimensions: int,
    chunking: indexes.IndexChunking,
) -> StagedCollection:
    """An invisible collection with an empty index. Raises IntegrityError if one has been begun."""
    collection_id = await collections.create(conn, _PREFIX + name)
    index_id = await indexes.create(
        conn,
        collection_id=collection_id,
        space_id=space_id,
        dimensions=dimensions,
        chunking=chunking,
        state="building",
    )
    return StagedCollection(collection_id, index_id, name)


async def hold(conn: AsyncConnection, staged: StagedCollection) -> bool:
    """Protect it from `clear` while this transaction lasts; False if it is gone already."""
    await conn.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    query = select(collections_table.c.id).where(collections_table.c.id == staged.collection_id)
    return (await conn.execute(query.with_for_update())).first() is not None


async def add(
    conn: AsyncConnection, collection_id: UUID, new: Sequence[NewDocumentRow]
) -> set[UUID]:
    """Store the documents whose ids are new; returns their keys."""
    rows = await conn.execute(
        text(
            "INSERT INTO documents (doc_key, collection_id, id, text_hash, text, metadata)"
            " SELECT n.doc_key, :collection, n.id, n.text_hash, n.text, n.metadata::jsonb"
            " FROM unnest(CAST(:keys AS uuid[]), CAST(:ids AS text[]), CAST(:hashes AS bytea[]),"
            " CAST(:texts AS text[]), CAST(:metadata AS text[]))"
            " AS n(doc_key, id, text_hash, text, metadata)"
            " ON CONFLICT DO NOTHING RETURNING doc_key"
        ),
        {
            "collection": collection_id,
            "keys": [document.doc_key for document in new],
            "ids": [document.id for document in new],
            "hashes": [document.text_hash for document in new],
            "texts": [document.text for document in new],
            "metadata": [document.metadata.decode() for document in new],
        },
    )
    return set(rows.scalars())


async def finish(
    conn: AsyncConnection, staged: StagedCollection, evidence: Mapping[str, object]
) -> None:
    """Make it visible, in the transaction that holds it.

    Raises IntegrityError if another collection has its name by now.
    """
    await conn.execute(
        update(collections_table)
        .where(collections_table.c.id == staged.collection_id)
        .values(name=staged.name)
    )
    await conn.execute(
        update(indexes_table)
        .where(indexes_table.c.id == staged.index_id)
        .values(state="active", evidence=dict(evidence))
    )
    await collections.activate(conn, staged.collection_id, staged.index_id)


async def clear(conn: AsyncConnection, name: str | None = None) -> list[StagedCollection]:
    """Remove what dead processes left, of one name or of all.

    The indexes are retired; tables and documents are swept like those of deleted collections.
    """
    query = select(collections_table.c.id, collections_table.c.name).where(
        collections_table.c.name == _PREFIX + name
        if name is not None
        else collections_table.c.name.startswith(_PREFIX, autoescape=True)
        & (collections_table.c.created_at < text(f"now() - interval '{_GRACE_S:d} s'"))
    )
    removed = []
    for row in (await conn.execute(query.with_for_update(skip_locked=True))).all():
        ids = select(indexes_table.c.id).where(indexes_table.c.collection_id == row.id)
        index_id = (await conn.execute(ids)).scalar_one()
        removed.append(StagedCollection(row.id, index_id, row.name.removeprefix(_PREFIX)))
        await collections.remove(conn, row.id)
    return removed


async def sweep(conn: AsyncConnection, staged: StagedCollection, limit: int) -> int:
    """Delete up to `limit` documents of a removed collection; returns how many."""
    keys = (
        select(documents_table.c.doc_key)
        .where(documents_table.c.collection_id == staged.collection_id)
        .limit(limit)
    )
    result = await conn.execute(delete(documents_table).where(documents_table.c.doc_key.in_(keys)))
    await conn.execute(delete(pending_table).where(pending_table.c.index_id == staged.index_id))
    return result.rowcount
