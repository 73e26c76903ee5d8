"""`vecmark migrate`; each command imports what it needs when it runs."""

import click

from api.cli.migrate import listing, planning, showing, starting, steering, switching, watching


@click.group(invoke_without_command=True)
@click.pass_context
def migrate(context: click.Context) -> None:
    """Move collections to another model or chunking while they serve; alone, list migrations.

    \b
    Exit codes, of `start`, `watch`, `status` and `cutover` above all:
      0    as asked: runs, is cut over, done, or ready with --manual; or nothing was needed
      1    an error
      2    wrong usage
      3    blocked by its gates or by texts that failed
      4    failed
      5    cancelled or rolled back, by somebody else
      130  interrupted: the migration goes on
    """
    if context.invoked_subcommand is None:
        context.invoke(listing.list_, every=True)


for command in (
    planning.plan,
    starting.start,
    showing.status,
    watching.watch,
    showing.report,
    listing.list_,
    switching.cutover,
    switching.rollback,
    steering.pause,
    steering.resume,
    steering.cancel,
    steering.retire,
    steering.set_,
):
    migrate.add_command(command)
