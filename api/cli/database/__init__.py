"""`vecmark db`; each command is imported when it runs."""

import click

from api.cli import lazy

COMMANDS = {
    "upgrade": ("api.cli.database.schema:upgrade", "Upgrade the schema; safe to run again."),
    "current": ("api.cli.database.schema:current", "Print the schema revision."),
    "check": ("api.cli.database.schema:check", "Compare the tables with the schema."),
}


@click.group(cls=lazy.LazyGroup, lazy=COMMANDS)
def db() -> None:
    """Upgrade and check the database schema."""
