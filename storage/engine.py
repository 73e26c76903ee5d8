"""The pool of connections to PostgreSQL, its checks, and what a failed statement means."""

from collections.abc import Callable

import psycopg
from pgvector.psycopg import register_vector_async
from sqlalchemy import event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from storage import errors

# Older releases can corrupt an HNSW index under VACUUM with concurrent INSERTs (0.8.3, 0.8.4).
MIN_PGVECTOR = (0, 8, 4)

# What a statement can raise; hot paths use psycopg directly, below SQLAlchemy.
FAILURES: tuple[type[Exception], ...] = (SQLAlchemyError, psycopg.Error, OSError)

_CONNECT_TIMEOUT_S = 5
# A long wait for a lock or an open transaction is our own fault, and must end by itself.
_SESSION = (
    "-c lock_timeout=10s -c idle_in_transaction_session_timeout=60s "
    "-c application_name=vecmark -c jit=off -c plan_cache_mode=auto"
)


def psycopg_url(url: str) -> str:
    """`url` with the driver that the service uses; `postgres://` is accepted, too.

    Raises StorageError if it is not a PostgreSQL URL.
    """
    try:
        parsed = make_url(url)
    except Exception as error:
        raise errors.StorageError(
            "the database URL is not valid; the form is "
            "postgresql://user:password@host:5432/database"
        ) from error
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise errors.StorageError(
            f"the database URL is for {parsed.get_backend_name()}; PostgreSQL with pgvector is "
            "needed: postgresql://user:password@host:5432/database"
        )
    return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def create_engine(url: str, *, pool_size: int) -> AsyncEngine:
    """An engine whose connections read and write vectors in binary."""
    engine = create_async_engine(
        psycopg_url(url),
        pool_size=pool_size,
        # The parameters of a failed statement can be documents' texts, which must not be logged.
        hide_parameters=True,
        max_overflow=0,
        pool_timeout=10,
        pool_recycle=1800,
        connect_args={
            "connect_timeout": _CONNECT_TIMEOUT_S,
            "options": _SESSION,
            "prepare_threshold": 1,
        },
    )

    @event.listens_for(engine.sync_engine, "connect")
    def register(connection: DBAPIConnection, _record: object) -> None:
        connection.run_async(register_vector_async)

    return engine


async def check_extension(conn: AsyncConnection) -> str:
    """pgvector's version. Raises ExtensionUnusable if it is missing or too old."""
    version = (
        await conn.execute(text("SELECT extversion FROM pg_extension WHERE extname = 'vector'"))
    ).scalar_one_or_none()
    if version is None:
        raise errors.ExtensionUnusable(
            "this database has no extension `vector` (pgvector); run `vecmark db upgrade`"
        )
    if tuple(int(part) for part in version.split(".")[:3]) < MIN_PGVECTOR:
        raise errors.ExtensionUnusable(
            f"pgvector {version} is too old: releases before 0.8.4 can corrupt an HNSW index while "
            "it is vacuumed. Install 0.8.4 or newer, then `ALTER EXTENSION vector UPDATE` and "
            "REINDEX the HNSW indexes"
        )
    return str(version)


async def driver(conn: AsyncConnection) -> psycopg.AsyncConnection:
    """The psycopg connection under `conn`, in the same transaction."""
    raw = await conn.get_raw_connection()
    connection = raw.driver_connection
    if not isinstance(connection, psycopg.AsyncConnection):
        raise errors.StorageError(f"the driver is {type(connection)}, psycopg is needed")
    return connection


def _sqlstate(error: BaseException) -> str | None:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def is_unavailable(error: BaseException) -> bool:
    """Whether the database was unreachable, so that the same work can be tried again."""
    if isinstance(error, ConnectionError | TimeoutError | PoolTimeout):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, psycopg.OperationalError):
        return False
    state = _sqlstate(error)
    # No state: the connection itself failed. 57P0x: shutdown or crash. 08: connection exceptions.
    return state is None or state.startswith(("08", "57P"))


_CONFLICTS: Callable[[str | None], bool] = {"40001", "40P01", "55P03"}.__contains__


def is_conflict(error: BaseException) -> bool:
    """Whether the transaction lost against another one and should be repeated."""
    return _CONFLICTS(_sqlstate(error))


def is_gone(error: BaseException) -> bool:
    """Whether a table in the statement was dropped meanwhile."""
    return _sqlstate(error) == "42P01"


def is_out_of_space(error: BaseException) -> bool:
    return _sqlstate(error) == "53100"
