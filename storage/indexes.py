"""Indexes: one collection embedded in one space under one chunking."""

import dataclasses
from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Row, Select, delete, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import vector_tables
from storage.tables import collections, indexes, pending, spaces

LIVE = ("building", "cutting", "active", "retained")


@dataclasses.dataclass(frozen=True)
class IndexRow:
    """An index, with what a write or a search needs to know about its space."""

    id: int
    collection_id: UUID
    space_id: int
    fingerprint: str
    model_id: str
    dimensions: int
    strategy: str
    size: int | None
    overlap: int
    chunker_version: int
    state: str
    hnsw: str
    hnsw_error: str | None
    ef_search: int | None
    recall: float | None
    evidence: Mapping[str, object] | None = None

    @property
    def table(self) -> str:
        return vector_tables.name(self.id)


@dataclasses.dataclass(frozen=True)
class IndexChunking:
    """How an index cuts texts into chunks; `size` and `overlap` are in tokens."""

    strategy: str
    size: int | None
    overlap: int
    chunker_version: int


_COLUMNS = (
    indexes.c.id,
    indexes.c.collection_id,
    indexes.c.space_id,
    spaces.c.fingerprint,
    spaces.c.model_id,
    spaces.c.dimensions,
    indexes.c.strategy,
    indexes.c.size,
    indexes.c.overlap,
    indexes.c.chunker_version,
    indexes.c.state,
    indexes.c.hnsw,
    indexes.c.hnsw_error,
    indexes.c.ef_search,
    indexes.c.recall,
    indexes.c.evidence,
)


def _query() -> Select[*tuple[object, ...]]:
    return select(*_COLUMNS).join(spaces, spaces.c.id == indexes.c.space_id)


def _row(row: Row[*tuple[object, ...]]) -> IndexRow:
    return IndexRow(**row._mapping)


async def create(
    conn: AsyncConnection,
    *,
    collection_id: UUID,
    space_id: int,
    dimensions: int,
    chunking: IndexChunking,
    state: str,
) -> int:
    """The id of a new index, which has an empty table for vectors of the space."""
    values = {
        "collection_id": collection_id,
        "space_id": space_id,
        "state": state,
        **dataclasses.asdict(chunking),
    }
    query = insert(indexes).values(values).returning(indexes.c.id)
    index_id = (await conn.execute(query)).scalar_one()
    await vector_tables.create(conn, index_id, dimensions=dimensions, space_id=space_id)
    return index_id


async def live(conn: AsyncConnection, collection_id: UUID) -> list[IndexRow]:
    """The indexes that every write to the collection must keep in step."""
    query = (
        _query()
        .join(collections, collections.c.id == indexes.c.collection_id)
        .where(indexes.c.collection_id == collection_id, indexes.c.state.in_(LIVE))
    )
    return [_row(row) for row in await conn.execute(query.order_by(indexes.c.id))]


async def by_id(conn: AsyncConnection, index_id: int) -> IndexRow | None:
    row = (await conn.execute(_query().where(indexes.c.id == index_id))).first()
    return None if row is None else _row(row)


async def in_state(conn: AsyncConnection, *states: str) -> list[IndexRow]:
    query = _query().where(indexes.c.state.in_(states)).order_by(indexes.c.id)
    return [_row(row) for row in await conn.execute(query)]


async def with_due_texts(conn: AsyncConnection, *states: str) -> list[IndexRow]:
    """Indexes with a pending text that can be embedded now."""
    free = or_(pending.c.lease_until.is_(None), pending.c.lease_until < func.now())
    due = exists().where(pending.c.index_id == indexes.c.id, pending.c.error.is_(None), free)
    query = _query().where(indexes.c.state.in_(states), due).order_by(indexes.c.id)
    return [_row(row) for row in await conn.execute(query)]


async def set_state(conn: AsyncConnection, index_id: int, state: str) -> None:
    """The caller has closed the fence: writes depend on the states of live indexes."""
    await conn.execute(update(indexes).where(indexes.c.id == index_id).values(state=state))


async def record_hnsw(
    conn: AsyncConnection,
    index_id: int,
    *,
    hnsw: str,
    ef_search: int | None = None,
    recall: float | None = None,
    error: str | None = None,
) -> None:
    values = {"hnsw": hnsw, "ef_search": ef_search, "recall": recall, "hnsw_error": error}
    await conn.execute(update(indexes).where(indexes.c.id == index_id).values(**values))


async def remove(conn: AsyncConnection, index_id: int) -> None:
    """Remove a retired index whose table has been dropped."""
    await conn.execute(delete(indexes).where(indexes.c.id == index_id))
