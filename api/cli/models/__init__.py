"""`vecmark models`; each command imports what it needs when it runs."""

import click

from api.cli.models import adding, checking, linking, listing, removing
from api.cli.models.described import describe

__all__ = ["describe", "models"]


@click.group(invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """Show, add and check embedding models; alone, list them."""
    if context.invoked_subcommand is None:
        context.invoke(listing.list_)


for command in (
    listing.list_,
    listing.show,
    adding.add,
    removing.remove,
    checking.check,
    linking.link,
):
    models.add_command(command)
