"""`vecmark db upgrade`, `current` and `check`."""

from typing import Any

import click
from alembic.util import CommandError

from api.cli import errors, flags, output
from api.cli.database import connection
from migrations import schema


@click.command()
@flags.options(flags.STORE)
def upgrade(**store: Any) -> None:
    """Upgrade the schema; safe to run again."""
    with connection.open_database(flags.load(store)) as url:
        before = schema.current(url).current
        state = schema.upgrade(url)
    if before == state.head:
        output.line(f"The schema is current ({state.head}).")
    else:
        output.line(f"Upgraded the schema from {before or 'nothing'} to {state.head}.")


@click.command()
@flags.options(flags.STORE)
def current(**store: Any) -> None:
    """Print the schema revision.

    The exit code is 1 if it is older than this version needs.
    """
    with connection.open_database(flags.load(store)) as url:
        state = schema.current(url)
    output.line(state.current or "no schema")
    if not state.is_current:
        raise errors.Failure(f"this version needs {state.head}: run `vecmark db upgrade`")


@click.command()
@flags.options(flags.STORE)
def check(**store: Any) -> None:
    """Compare the tables with the schema."""
    with connection.open_database(flags.load(store)) as url:
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
    output.line(f"The tables match the schema {state.head}.")
