"""Schema migrations by Alembic: upgrade, current, check. Synchronous: call in a thread.

Alembic is imported only when needed, because it takes 0.15 s and a current schema does not need it.
"""

import dataclasses
from importlib import resources
from typing import TYPE_CHECKING

from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from storage import errors

if TYPE_CHECKING:
    from alembic.config import Config

# The revision that this program needs: the newest of `versions/`.
HEAD = "0002"

# For two upgrades at once. Only a schema upgrade uses an advisory lock; data never depends on one.
_UPGRADE_LOCK = 0x7665636D61726B


@dataclasses.dataclass(frozen=True)
class SchemaState:
    """The revision of a database, and the revision that this program needs."""

    current: str | None
    head: str

    @property
    def is_ahead(self) -> bool:
        """Whether a newer program upgraded it: revisions are numbered."""
        return self.current is not None and self.current > self.head

    @property
    def is_current(self) -> bool:
        return self.current == self.head


def _config(url: str) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(resources.files("migrations")))
    config.attributes["url"] = url
    return config


def upgrade(url: str) -> SchemaState:
    """Upgrade the database to `head`; safe if several processes do so at once."""
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _UPGRADE_LOCK})
        connection.commit()
        state = _state(connection)
        if state.is_ahead:
            raise errors.SchemaAhead(state.current, state.head)
        if not state.is_current:
            from alembic import command

            _create_extension(connection)
            command.upgrade(_config(url), "head")
        return _state(connection)


def current(url: str) -> SchemaState:
    """The state of the database at `url`, which is not changed."""
    with create_engine(url, poolclass=NullPool, hide_parameters=True).connect() as connection:
        return _state(connection)


def check(url: str) -> None:
    """Raises Alembic's CommandError if the tables differ from `storage.tables`."""
    from alembic import command

    command.check(_config(url))


def _state(connection: Connection) -> SchemaState:
    has_table = connection.execute(text("SELECT to_regclass('alembic_version') IS NOT NULL"))
    current = None
    if has_table.scalar_one():
        rows = connection.execute(text("SELECT version_num FROM alembic_version"))
        current = rows.scalar_one_or_none()
    connection.commit()
    return SchemaState(current, HEAD)


def _create_extension(connection: Connection) -> None:
    try:
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
        connection.commit()
    except DBAPIError as error:
        connection.rollback()
        raise errors.ExtensionUnusable(
            "this database has no extension `vector` (pgvector), and it could not be created: "
            f"{error.orig}. Install pgvector 0.8.4 or newer on the server and let a superuser run "
            "`CREATE EXTENSION vector` in this database"
        ) from error
