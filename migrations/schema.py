"""Schema migrations by their library: upgrade, current, check. Synchronous: call in a thread."""

import dataclasses
from importlib import resources

import alembic.command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from storage import errors

# A schema upgrade may take an advisory lock (two starts at once); data never depends on one.
_UPGRADE_LOCK = 0x7665636D61726B


@dataclasses.dataclass(frozen=True)
class SchemaState:
    """The revision that a database is at and the one that this program needs."""

    current: str | None
    head: str

    @property
    def is_current(self) -> bool:
        return self.current == self.head


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.files("migrations")))
    config.attributes["url"] = url
    return config


def head() -> str:
    """The revision that this program needs."""
    script = ScriptDirectory(str(resources.files("migrations")))
    revision = script.get_current_head()
    if revision is None:
        raise errors.StorageError("the package holds no schema revision: install it again")
    return revision


def upgrade(url: str) -> SchemaState:
    """Bring the database to `head`; safe when several start at once."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _UPGRADE_LOCK})
        connection.commit()
        if not _state(connection).is_current:
            _create_extension(connection)
            alembic.command.upgrade(_config(url), "head")
        return _state(connection)


def current(url: str) -> SchemaState:
    """The state of the database at `url`, changed in nothing."""
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return _state(connection)


def check(url: str) -> None:
    """Raise alembic's CommandError where the tables differ from `storage.tables`."""
    alembic.command.check(_config(url))


def _state(connection: Connection) -> SchemaState:
    context = MigrationContext.configure(connection)
    state = SchemaState(context.get_current_revision(), head())
    connection.commit()
    return state


def _create_extension(connection: Connection) -> None:
    try:
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
        connection.commit()
    except DBAPIError as error:
        connection.rollback()
        raise errors.ExtensionUnusable(
            "the extension `vector` (pgvector) is not in this database and could not be created: "
            f"{error.orig}. Install pgvector 0.8.4 or newer on the server and let a superuser run "
            "`CREATE EXTENSION vector` in this database"
        ) from error
