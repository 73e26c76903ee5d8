"""`vecmark migrate`; each command is imported when it runs."""

import click

from api.cli import lazy

COMMANDS = {
    "plan": ("api.cli.migrate.plan:plan", "Measure what a migration would take."),
    "start": ("api.cli.migrate.start:start", "Start a migration and watch it."),
    "status": ("api.cli.migrate.show:status", "Show a migration's state and what comes next."),
    "watch": ("api.cli.migrate.show:watch", "Watch a migration while it runs."),
    "report": ("api.cli.migrate.show:report", "Show how the new index was verified."),
    "list": ("api.cli.migrate.show:list_", "List a collection's migrations, newest first."),
    "cutover": ("api.cli.migrate.control:cutover", "Make searches use the new index."),
    "rollback": ("api.cli.migrate.control:rollback", "Make searches use the old index again."),
    "pause": ("api.cli.migrate.control:pause", "Pause a migration."),
    "resume": (
        "api.cli.migrate.control:resume",
        "Resume a paused, blocked or failed migration.",
    ),
    "cancel": ("api.cli.migrate.control:cancel", "Cancel a migration and drop its index."),
    "retire": (
        "api.cli.migrate.control:retire",
        "Drop the old index and end the retention period.",
    ),
    "set": ("api.cli.migrate.control:set_", "Change how fast a migration may run."),
}


@click.group(cls=lazy.LazyGroup, lazy=COMMANDS, invoke_without_command=True)
@click.pass_context
def migrate(context: click.Context) -> None:
    """Move collections to another model or chunking, online.

    Searches and writes keep working. Without a subcommand, lists all migrations.

    \b
    Exit codes, mainly of `start`, `watch`, `status` and `cutover`:
      0    success: running, cut over, done, ready with --manual, or nothing to do
      1    an error
      2    wrong usage
      3    blocked by its gates or by failed texts
      4    failed
      5    cancelled or rolled back by somebody else
      130  interrupted; the migration continues
    """
    if context.invoked_subcommand is None:
        context.invoke(migrate.load("list"), collection=None, every=True)
