"""A write of metadata outlasts the loss of its connection, as every other write does."""

import asyncio

from sqlalchemy import text

from api.service import Service
from api.services import documents
from tests.integration.conftest import write

_WAITING = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


async def terminate_waiting(service: Service) -> None:
    """Kill the connection that waits for a lock, as soon as there is one."""
    async with asyncio.timeout(20), service.engine.connect() as conn:
        while not (await conn.execute(_WAITING)).all():
            await conn.rollback()
            await asyncio.sleep(0.02)


async def test_metadata_are_patched_even_if_the_connection_was_lost(service: Service):
    await write(service, {"newt": "a newt in a pond"})
    async with service.engine.begin() as conn:
        await conn.execute(text("SELECT FROM documents WHERE id = 'newt' FOR UPDATE"))
        patching = asyncio.create_task(
            documents.patch_metadata(service, "default", "newt", {"legs": 4})
        )
        await terminate_waiting(service)
    patched = await patching
    assert (patched.metadata, patched.version, patched.chunks) == ({"legs": 4}, 2, 1)
    assert await documents.get(service, "default", "newt") == patched
