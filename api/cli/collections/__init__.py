"""`vecmark collections`; each command is imported when it runs."""

import click

from api.cli import lazy

COMMANDS = {
    "list": ("api.cli.collections.show:list_", "List collections with their sizes and models."),
    "show": ("api.cli.collections.show:show", "Show a collection and its search path."),
    "create": ("api.cli.collections.change:create", "Create a collection."),
    "delete": ("api.cli.collections.change:delete", "Delete a collection and its documents."),
}


@click.group(cls=lazy.LazyGroup, lazy=COMMANDS, invoke_without_command=True)
@click.pass_context
def collections(context: click.Context) -> None:
    """List, show, create and delete collections.

    Without a subcommand, lists them.
    """
    if context.invoked_subcommand is None:
        context.invoke(collections.load("list"))
