"""`vecmark models`; each command is imported when it runs."""

import click

from api.cli import lazy

COMMANDS = {
    "list": ("api.cli.models.show:list_", "List available models and their collections."),
    "show": ("api.cli.models.show:show", "Show a model's space, limit and prompts."),
    "add": ("api.cli.models.add:add", "Add a model from the hub or from a directory."),
    "remove": ("api.cli.models.remove:remove", "Remove an added model and its files."),
    "check": ("api.cli.models.check:check", "Compare a model's vectors on every backend."),
    "link": ("api.cli.models.show:link", "Record that a model makes the vectors of a space."),
}


@click.group(cls=lazy.LazyGroup, lazy=COMMANDS, invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """List, show, add, check and remove embedding models.

    Without a subcommand, lists them.
    """
    if context.invoked_subcommand is None:
        context.invoke(models.load("list"))
