"""`vecmark migrate cutover`, `rollback`, `pause`, `resume`, `cancel`, `retire` and `set`."""

from typing import Any

import click

from api.cli import flags, output
from api.cli.migrate import outcome, requests, sessions, show, start, text
from api.schemas.migrations import Migration
from api.settings import Settings


def _command(name: str, about: str) -> click.Command:
    """A command that is sent to a migration unchanged; it has no options of its own."""

    @click.command(name, help=about)
    @click.argument("migration", required=False, metavar="[ID]")
    @sessions.options()
    def command(
        migration: str | None, collection: str | None, every: bool, as_json: bool, **connection: Any
    ) -> None:
        scope = sessions.Scope(collection, every, migration)

        async def work(session: sessions.Session, collection: str) -> sessions.Result:
            answer = await sessions.find_migration(session, scope, collection)
            if answer is None:
                return sessions.Result()
            answer = await requests.send_command(session.service, answer.value, name)
            _print_state(session, answer.value)
            return sessions.Result(answer.content)

        sessions.run(connection, scope, work, as_json=as_json)

    return command


pause = _command("pause", "Pause a migration.")
resume = _command("resume", "Resume a paused, blocked or failed migration.")
cancel = _command(
    "cancel",
    "Cancel a migration and drop its index.\n\nPossible until its cutover.",
)
retire = _command(
    "retire",
    "Drop the old index and end the retention period.\n\nAfter that, there is no rollback.",
)


@click.command("set")
@click.argument("migration", required=False, metavar="[ID]")
@start.throttle_options
@sessions.options()
def set_(
    *,
    migration: str | None,
    max_rate: start.Limit | None,
    query_p95: start.Limit | None,
    collection: str | None,
    every: bool,
    as_json: bool,
    **connection: Any,
) -> None:
    """Change how fast a migration may run.

    Takes effect while it runs; `none` removes a limit.
    """
    scope = sessions.Scope(collection, every, migration)
    body = start.throttle_fields(max_rate, query_p95)
    if not body:
        raise click.UsageError("give --max-rate, --query-p95 or both")

    async def work(session: sessions.Session, name: str) -> sessions.Result:
        answer = await sessions.find_migration(session, scope, name)
        if answer is None:
            return sessions.Result()
        path = requests.path(name, answer.value.id)
        answer = await session.service.request("PATCH", path, Migration, json=body)
        session.print(f"{name}: {text.limits(answer.value)}.")
        return sessions.Result(answer.content)

    sessions.run(connection, scope, work, as_json=as_json)


@click.command()
@click.argument("migration", required=False, metavar="[ID]")
@click.option("--force", metavar="REASON", help="Cut over despite its gates; REASON is recorded.")
@click.option("--waive-failed", is_flag=True, help="Cut over without the texts that failed.")
@click.option("--no-wait", is_flag=True, help="Don't wait until the cutover is done.")
@sessions.options()
def cutover(
    *,
    migration: str | None,
    force: str | None,
    waive_failed: bool,
    no_wait: bool,
    collection: str | None,
    every: bool,
    as_json: bool,
    **connection: Any,
) -> None:
    """Make searches use the new index.

    `rollback` undoes it while the old index is kept. Refused if a gate isn't met or texts failed
    (exit code 3).
    """
    scope = sessions.Scope(collection, every, migration)
    body = _without_none(force=force, waive_failed=waive_failed or None)

    async def work(session: sessions.Session, name: str) -> sessions.Result:
        return await _cut_over(session, scope, name, body, wait=not no_wait)

    settings = flags.load(connection)
    sessions.exit_with(_run_cutover(settings, scope, work, wait=not no_wait, as_json=as_json))


@click.command()
@click.argument("migration", required=False, metavar="[ID]")
@click.option("--force", metavar="REASON", help="Roll back despite data loss; REASON is recorded.")
@sessions.options()
def rollback(
    migration: str | None,
    force: str | None,
    collection: str | None,
    every: bool,
    as_json: bool,
    **connection: Any,
) -> None:
    """Make searches use the old index again.

    Refused if documents would become unsearchable.
    """
    scope = sessions.Scope(collection, every, migration)
    body = _without_none(force=force)

    async def work(session: sessions.Session, name: str) -> sessions.Result:
        answer = await sessions.find_migration(session, scope, name)
        if answer is None:
            return sessions.Result()
        answer = await requests.send_command(session.service, answer.value, "rollback", body)
        is_over, exit_code = outcome.is_rollback_over, outcome.rollback_exit_code
        return await show.follow(session, answer, is_over, exit_code)

    sessions.run(connection, scope, work, as_json=as_json, works=True)


async def _run_cutover(
    settings: Settings,
    scope: sessions.Scope,
    work: sessions.Work,
    *,
    wait: bool,
    as_json: bool,
) -> int:
    if not wait:
        await sessions.require_service(settings, "--no-wait")
    return await sessions.run_for_each(settings, scope, work, as_json=as_json, works=True)


async def _cut_over(
    session: sessions.Session,
    scope: sessions.Scope,
    name: str,
    body: dict[str, Any],
    *,
    wait: bool,
) -> sessions.Result:
    answer = await sessions.find_migration(session, scope, name)
    if answer is None:
        return sessions.Result()
    answer = await requests.send_command(session.service, answer.value, "cutover", body)
    if wait:
        is_over = outcome.CutoverOver(len(answer.value.history))
        return await show.follow(session, answer, is_over)
    session.print(f"{name}: {answer.value.state}. {answer.value.next}".rstrip())
    return sessions.Result(answer.content)


def _print_state(session: sessions.Session, migration: Migration) -> None:
    session.print(f"{migration.collection}: {migration.state}. {migration.next}".rstrip())
    if session.is_private and migration.state in text.WORKING:
        command = f"`{output.command()} serve`"
        output.line(f"No service is running: it continues when one does ({command}).", err=True)


def _without_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
