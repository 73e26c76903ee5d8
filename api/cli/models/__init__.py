"""`vecmark models`; each command imports what it needs when it runs."""

import click

from api.cli.models import add, check, remove, show
from api.cli.models.show import describe

__all__ = ["describe", "models"]


@click.group(invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """Show, add and check embedding models; alone, list them."""
    if context.invoked_subcommand is None:
        context.invoke(show.list_)


for command in (
    show.list_,
    show.show,
    add.add,
    remove.remove,
    check.check,
    show.link,
):
    models.add_command(command)
