"""Connections to the database of another program's table: they only read."""

import contextlib
from collections.abc import AsyncIterator, Iterator

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import make_url

from storage import engine, errors

_DEFAULTS: dict[str, str] = {"connect_timeout": "10", "application_name": "vecmark"}

Connection = psycopg.AsyncConnection[tuple[object, ...]]


@contextlib.asynccontextmanager
async def connect(url: str) -> AsyncIterator[Connection]:
    """A connection that cannot write. Raises SourceUnusable."""
    parsed = make_url(engine.psycopg_url(url))
    # Not as a URL: SQLAlchemy writes a space as "+", which libpq reads as a plus sign.
    parts = parsed.translate_connect_args(username="user", database="dbname")
    query = {
        key: part if isinstance(part, str) else ",".join(part) for key, part in parsed.query.items()
    }
    conninfo = make_conninfo("", **(_DEFAULTS | parts | query))
    label = parsed.set(drivername="postgresql").render_as_string(hide_password=True)
    with _translated_errors(label):
        connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
    async with connection:
        await connection.set_read_only(True)
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        yield connection


@contextlib.asynccontextmanager
async def snapshot(connection: Connection, label: str) -> AsyncIterator[None]:
    """One state of the database for as long as the block takes.

    Raises SourceUnusable if `label` cannot be read.
    """
    with _translated_errors(label):
        async with connection.transaction():
            await connection.execute("SET LOCAL statement_timeout = 0")
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            # Makes it an error if a policy hides rows: they would silently be missing.
            await connection.execute("SET LOCAL row_security = off")
            yield


@contextlib.contextmanager
def _translated_errors(label: str) -> Iterator[None]:
    try:
        yield
    except (psycopg.Error, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise errors.SourceUnusable(f"{label} cannot be read: {reason}") from error
