import contextlib
from collections.abc import Iterator
from typing import Any

import click

from api import settings
from api.cli import errors, flags, output


@click.group()
def db() -> None:
    """Look after the database's schema."""


@db.command()
@flags.options(flags.STORE)
def upgrade(**given: Any) -> None:
    """Bring the schema to the one that this version needs; safe to run again."""
    from migrations import schema

    with database(flags.load(given)) as url:
        before = schema.current(url).current
        state = schema.upgrade(url)
    if before == state.head:
        output.line(f"The schema is current ({state.head}).")
    else:
        output.line(f"Upgraded the schema from {before or 'nothing'} to {state.head}.")


@db.command()
@flags.options(flags.STORE)
def current(**given: Any) -> None:
    """The database's schema revision; exit code 1 where it is behind."""
    from migrations import schema

    with database(flags.load(given)) as url:
        state = schema.current(url)
    output.line(state.current or "no schema")
    if not state.is_current:
        raise errors.Failure(f"this version needs {state.head}: run `vecmark db upgrade`")


@db.command()
@flags.options(flags.STORE)
def check(**given: Any) -> None:
    """Compare the tables with those that this version expects."""
    from alembic.util import CommandError

    from migrations import schema

    with database(flags.load(given)) as url:
        state = schema.current(url)
        if not state.is_current:
            raise errors.Failure(
                f"the schema is at {state.current or 'nothing'}, this version needs {state.head}: "
                "run `vecmark db upgrade`"
            )
        try:
            schema.check(url)
        except CommandError as error:
            raise errors.Failure(f"the tables differ from the schema: {error}") from error
    output.line(f"The tables are those of the schema {state.head}.")


@contextlib.contextmanager
def database(chosen: settings.Settings) -> Iterator[str]:
    """The URL of the database, the embedded one running meanwhile. Failure where it isn't there."""
    from sqlalchemy.exc import DBAPIError

    from storage import engine

    with contextlib.ExitStack() as stack:
        if chosen.database_url is not None:
            url = engine.psycopg_url(chosen.database_url)
        else:
            from storage.embedded import postgres

            url = stack.enter_context(postgres.EmbeddedPostgres(chosen.data_dir)).url
        try:
            yield url
        except DBAPIError as error:
            reason = " ".join(str(error.orig).split())
            raise errors.Failure(f"the database refuses: {reason}") from error
