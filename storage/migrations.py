"""Rows of re-embed migrations: state, lease, options, report."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy import Row, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.migration_states import ENDED
from storage.tables import migrations


@dataclasses.dataclass(frozen=True)
class MigrationRow:
    """`resume_state`: the state in which a paused, blocked or failed migration continues."""

    id: UUID
    collection_id: UUID
    source_index_id: int
    target_index_id: int
    state: str
    resume_state: str | None
    options: Mapping[str, object]
    sides: Mapping[str, object]
    golden: Sequence[Mapping[str, object]] | None
    history: Sequence[Mapping[str, object]]
    report: Mapping[str, object] | None
    error: str | None
    waiting: str | None
    lease_owner: str | None
    lease_epoch: int
    lease_until: datetime | None
    next_batch_at: datetime | None
    retained_until: datetime | None
    created_at: datetime
    updated_at: datetime


def _row(row: Row[*tuple[object, ...]]) -> MigrationRow:
    return MigrationRow(**row._mapping)


async def create(
    conn: AsyncConnection,
    *,
    collection_id: UUID,
    source_index_id: int,
    target_index_id: int,
    options: Mapping[str, object],
    sides: Mapping[str, object],
    golden: Sequence[Mapping[str, object]] | None,
) -> UUID:
    """A planned migration. Raises IntegrityError if the collection has an open one."""
    query = (
        insert(migrations)
        .values(
            collection_id=collection_id,
            source_index_id=source_index_id,
            target_index_id=target_index_id,
            state="planned",
            options=dict(options),
            sides=dict(sides),
            golden=None if golden is None else list(golden),
        )
        .returning(migrations.c.id)
    )
    migration_id = (await conn.execute(query)).scalar_one()
    await _record_step(conn, migration_id, "planned", None)
    return migration_id


async def by_id(conn: AsyncConnection, migration_id: UUID) -> MigrationRow | None:
    query = select(migrations).where(migrations.c.id == migration_id)
    row = (await conn.execute(query)).first()
    return None if row is None else _row(row)


async def of_collection(conn: AsyncConnection, collection_id: UUID) -> list[MigrationRow]:
    """Newest first."""
    query = (
        select(migrations)
        .where(migrations.c.collection_id == collection_id)
        .order_by(migrations.c.created_at.desc(), migrations.c.id)
    )
    return [_row(row) for row in await conn.execute(query)]


async def find_open(conn: AsyncConnection, collection_id: UUID) -> MigrationRow | None:
    """The collection's migration that has not ended."""
    query = select(migrations).where(
        migrations.c.collection_id == collection_id, migrations.c.state.not_in(ENDED)
    )
    row = (await conn.execute(query)).first()
    return None if row is None else _row(row)


async def find_workable(conn: AsyncConnection, *states: str) -> list[MigrationRow]:
    """Migrations in these states, without those that still soak: every collection can have one."""
    is_soaking = (migrations.c.state == "soaking") & (migrations.c.retained_until > func.now())
    query = select(migrations).where(migrations.c.state.in_(states), ~is_soaking)
    return [_row(row) for row in await conn.execute(query.order_by(migrations.c.created_at))]


async def change_state(
    conn: AsyncConnection,
    migration_id: UUID,
    *,
    from_state: str,
    to_state: str,
    epoch: int | None = None,
    why: str | None = None,
    **values: object,
) -> bool:
    """Change the state if it still is `from_state` and, if given, the lease's epoch is `epoch`.

    Without an epoch it is a person's command, which ends the lease of the worker that leads.
    """
    columns = migrations.c
    query = update(migrations).where(columns.id == migration_id, columns.state == from_state)
    changed = {"state": to_state, "waiting": None, "updated_at": func.now(), **values}
    if epoch is None:
        changed |= {"lease_epoch": columns.lease_epoch + 1, "lease_until": None}
    else:
        query = query.where(columns.lease_epoch == epoch)
    result = await conn.execute(query.values(**changed))
    if result.rowcount == 1:
        await _record_step(conn, migration_id, to_state, why)
    return result.rowcount == 1


async def _record_step(
    conn: AsyncConnection, migration_id: UUID, state: str, why: str | None
) -> None:
    await conn.execute(
        text(
            "UPDATE migrations SET history = history || jsonb_build_array(jsonb_build_object("
            "'state', CAST(:state AS text), 'at', to_json(now()), 'why', CAST(:why AS text)))"
            " WHERE id = :id"
        ),
        {"state": state, "why": why, "id": migration_id},
    )


async def claim(
    conn: AsyncConnection, migration_id: UUID, *, state: str, owner: str, lease_s: float
) -> int | None:
    """Become the leader of a migration in `state`; returns the lease's epoch.

    None if another worker leads it, or has already moved it to another state.
    """
    result = await conn.execute(
        text(
            "UPDATE migrations SET lease_owner = :owner, lease_epoch = lease_epoch + 1,"
            " lease_until = now() + make_interval(secs => :lease) WHERE id = :id"
            " AND state = :state AND (lease_until IS NULL OR lease_until < now())"
            " RETURNING lease_epoch"
        ),
        {"owner": owner, "lease": lease_s, "id": migration_id, "state": state},
    )
    return result.scalar_one_or_none()


async def renew(conn: AsyncConnection, migration_id: UUID, epoch: int, lease_s: float) -> bool:
    result = await conn.execute(
        text(
            "UPDATE migrations SET lease_until = now() + make_interval(secs => :lease)"
            " WHERE id = :id AND lease_epoch = :epoch"
        ),
        {"lease": lease_s, "id": migration_id, "epoch": epoch},
    )
    return result.rowcount == 1


async def release(conn: AsyncConnection, migration_id: UUID, epoch: int) -> None:
    await conn.execute(
        text("UPDATE migrations SET lease_until = NULL WHERE id = :id AND lease_epoch = :epoch"),
        {"id": migration_id, "epoch": epoch},
    )


async def record_waiting(conn: AsyncConnection, migration_id: UUID, what: str | None) -> None:
    """Show people what it is waiting for."""
    await conn.execute(
        text(
            "UPDATE migrations SET waiting = :what, updated_at = now()"
            " WHERE id = :id AND waiting IS DISTINCT FROM :what"
        ),
        {"id": migration_id, "what": what},
    )


async def set_options(
    conn: AsyncConnection, migration_id: UUID, changes: Mapping[str, object]
) -> None:
    await conn.execute(
        text(
            "UPDATE migrations SET options = options || CAST(:changes AS jsonb),"
            " updated_at = now() WHERE id = :id"
        ),
        {"id": migration_id, "changes": msgspec.json.encode(changes).decode()},
    )


async def take_turn(
    conn: AsyncConnection, migration_id: UUID, *, chunks: int, rate: float
) -> float:
    """Reserve a turn for `chunks` at `rate` chunks a second, a limit for all workers together.

    Returns the seconds to wait until the turn begins. Idle time is not saved up.
    """
    result = await conn.execute(
        text(
            "UPDATE migrations SET next_batch_at = greatest(coalesce(next_batch_at, now()), now())"
            " + make_interval(secs => :takes) WHERE id = :id"
            " RETURNING extract(epoch FROM next_batch_at - now()) - :takes"
        ),
        {"id": migration_id, "takes": chunks / rate},
    )
    return max(0.0, float(result.scalar_one_or_none() or 0.0))


async def clear_turns(conn: AsyncConnection, migration_id: UUID) -> None:
    """Cancel turns that were reserved at another rate."""
    query = update(migrations).where(migrations.c.id == migration_id)
    await conn.execute(query.values(next_batch_at=None))


async def record_report(
    conn: AsyncConnection, migration_id: UUID, report: Mapping[str, object]
) -> None:
    await conn.execute(
        update(migrations)
        .where(migrations.c.id == migration_id)
        .values(report=dict(report), updated_at=func.now())
    )
