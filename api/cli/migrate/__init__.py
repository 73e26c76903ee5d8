"""`vecmark migrate`; each command imports what it needs when it runs."""

import click

from api.cli.migrate import control, plan, show, start


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
        context.invoke(show.list_, every=True)


for command in (
    plan.plan,
    start.start,
    show.status,
    show.watch,
    show.report,
    show.list_,
    control.cutover,
    control.rollback,
    control.pause,
    control.resume,
    control.cancel,
    control.retire,
    control.set_,
):
    migrate.add_command(command)
