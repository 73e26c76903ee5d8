"""The embedding spaces of stored vectors, and the links between equal spaces."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.tables import collections, indexes, space_links, spaces


@dataclasses.dataclass(frozen=True)
class SpaceRow:
    """A stored space; `canaries` are its reference vectors, (n, dimensions) float32."""

    id: int
    fingerprint: str
    model_id: str
    revision: str | None
    dimensions: int
    max_tokens: int | None
    document_prompt: str
    query_prompt: str
    precision: str
    options: Mapping[str, object]
    build: Mapping[str, object] | None
    canaries: NDArray[np.float32]
    canaries_version: int
    created_at: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class NewSpace:
    fingerprint: str
    model_id: str
    revision: str | None
    dimensions: int
    max_tokens: int | None
    document_prompt: str
    query_prompt: str
    precision: str
    options: Mapping[str, object]
    manifest: Mapping[str, object]
    build: Mapping[str, object]
    canaries: NDArray[np.float32]
    canaries_version: int


_COLUMNS = (
    spaces.c.id,
    spaces.c.fingerprint,
    spaces.c.model_id,
    spaces.c.revision,
    spaces.c.dimensions,
    spaces.c.max_tokens,
    spaces.c.document_prompt,
    spaces.c.query_prompt,
    spaces.c.precision,
    spaces.c.options,
    spaces.c.build,
    spaces.c.canaries,
    spaces.c.canaries_version,
    func.extract("epoch", spaces.c.created_at).label("created_at"),
)


def _row(row: Row[*tuple[object, ...]]) -> SpaceRow:
    values = dict(row._mapping)
    flat = np.frombuffer(values["canaries"], dtype=np.float32)
    values["canaries"] = flat.reshape(-1, values["dimensions"])
    values["created_at"] = float(values["created_at"])
    return SpaceRow(**values)


async def ensure(conn: AsyncConnection, space: NewSpace) -> SpaceRow:
    """The stored space of this fingerprint, or the one that it is linked to; created if new.

    What a person names (model, revision, query prompt) is taken from the newest caller.
    """
    linked = await by_link(conn, space.fingerprint)
    if linked is not None:
        return linked
    values = dataclasses.asdict(space)
    values["canaries"] = np.ascontiguousarray(space.canaries, dtype=np.float32).tobytes()
    updates = {key: values[key] for key in ("model_id", "revision", "query_prompt", "options")}
    await conn.execute(
        insert(spaces)
        .values(**values)
        .on_conflict_do_update(index_elements=[spaces.c.fingerprint], set_=updates)
    )
    row = await by_fingerprint(conn, space.fingerprint)
    if row is None:
        raise LookupError(space.fingerprint)
    return row


async def by_fingerprint(conn: AsyncConnection, fingerprint: str) -> SpaceRow | None:
    row = (await conn.execute(select(*_COLUMNS).where(spaces.c.fingerprint == fingerprint))).first()
    return None if row is None else _row(row)


async def by_link(conn: AsyncConnection, fingerprint: str) -> SpaceRow | None:
    query = (
        select(*_COLUMNS)
        .join(space_links, space_links.c.space_id == spaces.c.id)
        .where(space_links.c.fingerprint == fingerprint)
    )
    row = (await conn.execute(query)).first()
    return None if row is None else _row(row)


async def by_id(conn: AsyncConnection, space_id: int) -> SpaceRow:
    return _row((await conn.execute(select(*_COLUMNS).where(spaces.c.id == space_id))).one())


async def all_spaces(conn: AsyncConnection) -> list[SpaceRow]:
    return [_row(row) for row in await conn.execute(select(*_COLUMNS).order_by(spaces.c.id))]


async def links(conn: AsyncConnection) -> dict[str, int]:
    """fingerprint -> id of the space that it proved equal to."""
    rows = await conn.execute(select(space_links.c.fingerprint, space_links.c.space_id))
    return {row.fingerprint: row.space_id for row in rows}


async def link(conn: AsyncConnection, fingerprint: str, space_id: int, worst: float) -> None:
    """Record that vectors of `fingerprint` belong to the space `space_id`."""
    await conn.execute(
        insert(space_links)
        .values(fingerprint=fingerprint, space_id=space_id, worst_cosine=worst)
        .on_conflict_do_nothing()
    )


async def record_build(conn: AsyncConnection, space_id: int, build: Mapping[str, object]) -> None:
    """Record the last build whose canaries all passed."""
    await conn.execute(update(spaces).where(spaces.c.id == space_id).values(build=dict(build)))


async def query_prompts(conn: AsyncConnection) -> dict[str, str]:
    """fingerprint -> the prompt that is put before queries."""
    rows = await conn.execute(select(spaces.c.fingerprint, spaces.c.query_prompt))
    return {row.fingerprint: row.query_prompt for row in rows}


async def set_query_prompt(conn: AsyncConnection, space_id: int, prompt: str) -> None:
    """Change the prompt for queries, which leaves stored vectors as they are."""
    row = await by_id(conn, space_id)
    options = {**row.options, "query_prompt": prompt}
    query = update(spaces).where(spaces.c.id == space_id)
    await conn.execute(query.values(query_prompt=prompt, options=options))


async def in_use(conn: AsyncConnection) -> Sequence[int]:
    """Ids of the spaces of live indexes."""
    query = select(indexes.c.space_id).where(indexes.c.state != "retired").distinct()
    return (await conn.execute(query)).scalars().all()


async def used_by(conn: AsyncConnection) -> dict[int, list[str]]:
    """space id -> names of the collections with a live index in it."""
    query = (
        select(indexes.c.space_id, collections.c.name)
        .join(collections, collections.c.id == indexes.c.collection_id)
        .where(indexes.c.state != "retired")
        .distinct()
        .order_by(collections.c.name)
    )
    names: dict[int, list[str]] = {}
    for row in await conn.execute(query):
        names.setdefault(row.space_id, []).append(row.name)
    return names
