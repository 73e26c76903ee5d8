"""Collections being made of a foreign table: held while they are filled, found when they are whole.

A transaction that lasts as long as the import locks the collection's row. Where the process dies,
the lock goes with it: that is how others know that what it left may be taken away.
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

# No collection can be called so: nobody finds it before `finish`.
_PREFIX = "adopting:"
# Between the commit of `begin` and the lock of `hold` nobody holds what was begun.
_GRACE_S = 60


@dataclasses.dataclass(frozen=True)
class HalfMade:
    collection_id: UUID
    index_id: int
    name: str


async def exists(conn: AsyncConnection, name: str) -> bool:
    """Whether there is a collection of this name, whole."""
    query = select(collections_table.c.id).where(collections_table.c.name == name)
    return (await conn.execute(query)).first() is not None


async def begin(
    conn: AsyncConnection,
    name: str,
    *,
    space_id: int,
    dimensions: int,
    chunking: indexes.IndexChunking,
) -> HalfMade:
    """A collection with an empty index, not found by anyone; IntegrityError where one is begun."""
    collection_id = await collections.create(conn, _PREFIX + name)
    index_id = await indexes.create(
        conn,
        collection_id=collection_id,
        space_id=space_id,
        dimensions=dimensions,
        chunking=chunking,
        state="building",
    )
    return HalfMade(collection_id, index_id, name)


async def hold(conn: AsyncConnection, half: HalfMade) -> bool:
    """Keep it from being taken away while this transaction lasts; false where it was already."""
    await conn.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    query = select(collections_table.c.id).where(collections_table.c.id == half.collection_id)
    return (await conn.execute(query.with_for_update())).first() is not None


async def add(
    conn: AsyncConnection, collection_id: UUID, new: Sequence[NewDocumentRow]
) -> set[UUID]:
    """Store the documents whose id is not there yet; the keys of those."""
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


async def finish(conn: AsyncConnection, half: HalfMade, evidence: Mapping[str, object]) -> None:
    """Let everybody find it, in the transaction that holds it; IntegrityError: a namesake."""
    await conn.execute(
        update(collections_table)
        .where(collections_table.c.id == half.collection_id)
        .values(name=half.name)
    )
    await conn.execute(
        update(indexes_table)
        .where(indexes_table.c.id == half.index_id)
        .values(state="active", evidence=dict(evidence))
    )
    await collections.activate(conn, half.collection_id, half.index_id)


async def clear(conn: AsyncConnection, name: str | None = None) -> list[HalfMade]:
    """Take away what dead processes left, of one name or of all.

    The indexes are retired: tables and documents are swept as those of deleted collections are.
    """
    query = select(collections_table.c.id, collections_table.c.name).where(
        collections_table.c.name == _PREFIX + name
        if name is not None
        else collections_table.c.name.startswith(_PREFIX, autoescape=True)
        & (collections_table.c.created_at < text(f"now() - interval '{_GRACE_S:d} s'"))
    )
    gone = []
    for row in (await conn.execute(query.with_for_update(skip_locked=True))).all():
        ids = select(indexes_table.c.id).where(indexes_table.c.collection_id == row.id)
        index_id = (await conn.execute(ids)).scalar_one()
        gone.append(HalfMade(row.id, index_id, row.name.removeprefix(_PREFIX)))
        await collections.remove(conn, row.id)
    return gone


async def sweep(conn: AsyncConnection, half: HalfMade, limit: int) -> int:
    """Delete up to `limit` documents of what was taken away; how many there were."""
    some = (
        select(documents_table.c.doc_key)
        .where(documents_table.c.collection_id == half.collection_id)
        .limit(limit)
    )
    done = await conn.execute(delete(documents_table).where(documents_table.c.doc_key.in_(some)))
    await conn.execute(delete(pending_table).where(pending_table.c.index_id == half.index_id))
    return done.rowcount
