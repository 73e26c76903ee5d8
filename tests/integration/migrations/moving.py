"""A migration of `default` in a service in this process, and waiting for its states."""

import asyncio
from typing import Any
from uuid import UUID

from sqlalchemy import text

from api.schemas.migrations import NewMigration
from api.service import Service
from api.services import migrations
from migrations.reembed.migration import Migration

NAME = "default"
_PATIENCE_S = 180.0
_STOPPED = {"failed", "blocked", "done", "cancelled", "rolled_back"}


async def start(service: Service, model: str, **options: Any) -> Migration:
    migration_id = await migrations.start(service, NAME, NewMigration(model=model, **options))
    assert isinstance(migration_id, UUID), migration_id
    return await look(service, migration_id)


async def look(service: Service, migration_id: UUID) -> Migration:
    return await migrations.find(service, NAME, str(migration_id))


async def reach(service: Service, migration: Migration, *states: str) -> Migration:
    """Wait for one of the states; fail at once if it stops in another state."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    while (now := await look(service, migration.id)).state not in states:
        assert now.state not in _STOPPED, (now.state, now.row.error)
        assert asyncio.get_running_loop().time() < deadline, (now.state, now.row.waiting)
        await asyncio.sleep(0.05)
    return now


async def sql(service: Service, query: str, **values: object) -> list[tuple[object, ...]]:
    async with service.engine.connect() as conn:
        return [tuple(row) for row in await conn.execute(text(query), values)]


async def lacking(service: Service, index_id: int) -> list[str]:
    """Documents without vectors of their current text, and vectors of another text."""
    missing = await sql(
        service,
        "SELECT 'missing ' || d.id FROM documents d WHERE NOT EXISTS (SELECT 1 FROM"
        f" vectors_{index_id} v WHERE v.doc_key = d.doc_key AND v.text_hash = d.text_hash)"
        " UNION ALL SELECT 'stale ' || coalesce(d.id, 'of nobody')"
        f" FROM vectors_{index_id} v LEFT JOIN documents d USING (doc_key)"
        " WHERE d.text_hash IS DISTINCT FROM v.text_hash",
    )
    return [str(row[0]) for row in missing]
