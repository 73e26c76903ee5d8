import time

import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api.service import Service
from indexing import retries


async def test_a_verification_outlasts_a_restart_that_a_search_does_not_wait_for(idle: Service):
    back = time.monotonic() + retries.READ_PATIENCE_S + 2

    async def ask(conn: AsyncConnection) -> int:
        if time.monotonic() < back:
            raise psycopg.OperationalError("the database system is starting up")
        return int((await conn.execute(text("SELECT 1"))).scalar_one())

    assert await retries.read(idle.engine, ask) == 1
