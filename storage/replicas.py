"""Processes that serve or work, and the spaces that each has loaded, by the database's clock."""

import dataclasses
from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import fence
from storage.tables import collections, indexes, replicas


@dataclasses.dataclass(frozen=True)
class ReplicaRow:
    """`serves`: it answers searches; `facts`: what it reports about itself."""

    id: UUID
    name: str
    serves: bool
    spaces: Sequence[int]
    facts: Mapping[str, object]

    @property
    def works(self) -> bool:
        """It takes part in migrations."""
        return bool(self.facts.get("works"))


async def heartbeat(conn: AsyncConnection, replica: ReplicaRow, ttl_s: float) -> None:
    """Register, or stay registered, for `ttl_s` more seconds.

    Shares the fence: whoever changes the active index sees this replica, or it sees the new index.
    """
    await fence.share(conn)
    await conn.execute(
        text(
            "INSERT INTO replicas (id, name, serves, spaces, facts, expires_at) VALUES (:id, :name,"
            " :serves, to_jsonb(CAST(:spaces AS int[])), CAST(:facts AS jsonb),"
            " now() + make_interval(secs => :ttl))"
            " ON CONFLICT (id) DO UPDATE SET spaces = excluded.spaces, facts = excluded.facts,"
            " expires_at = excluded.expires_at"
        ),
        {
            "id": replica.id,
            "name": replica.name,
            "serves": replica.serves,
            "spaces": list(replica.spaces),
            "facts": msgspec.json.encode(dict(replica.facts)).decode(),
            "ttl": ttl_s,
        },
    )


async def unregister(conn: AsyncConnection, replica_id: UUID) -> None:
    await conn.execute(delete(replicas).where(replicas.c.id == replica_id))


async def live(conn: AsyncConnection) -> list[ReplicaRow]:
    columns = replicas.c
    query = select(columns.id, columns.name, columns.serves, columns.spaces, columns.facts)
    rows = await conn.execute(query.where(columns.expires_at > func.now()).order_by(columns.name))
    return [ReplicaRow(*row) for row in rows]


async def remove_expired(conn: AsyncConnection) -> None:
    await conn.execute(
        text("DELETE FROM replicas WHERE expires_at < now() - interval '1 hour'"),
    )


async def served_spaces(conn: AsyncConnection) -> frozenset[int]:
    """The spaces of active indexes and of those about to become active."""
    query = (
        select(indexes.c.space_id)
        .join(collections, collections.c.id == indexes.c.collection_id)
        .where(indexes.c.state.in_(("active", "cutting")))
        .distinct()
    )
    return frozenset((await conn.execute(query)).scalars())
