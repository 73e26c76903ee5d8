"""`vecmark migrate watch`, `status`, `list` and `report`."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, get_args

import click

from api.cli import client, errors, flags, output, tables
from api.cli.migrate import live, outcome, requests, sessions, text
from api.cli.migrate.requests import MigrationAnswer
from api.schemas.migrations import Migration
from api.settings import Settings
from migrations.reembed import cli_hints
from storage.names import DEFAULT_COLLECTION

POLL_S = 0.5
# How long a live view waits for a service that doesn't answer.
PATIENCE_S = 300.0
COLUMNS = ("migration", "collection", "state", "from", "to", "documents", "failed", "started")


@click.command()
@click.argument("migration", required=False, metavar="[ID]")
@click.option(
    "--until",
    type=click.Choice(get_args(outcome.Until)),
    default="cutover",
    show_default=True,
    help="When to stop: at the cutover, or at the end of the retention period.",
)
@sessions.options(every=False)
def watch(
    migration: str | None,
    until: outcome.Until,
    collection: str | None,
    as_json: bool,
    **connection: Any,
) -> None:
    """Watch a migration while it runs.

    Shows the newest migration, or the one with that ID. Ctrl+C stops watching; the migration
    continues. See `vecmark migrate --help` for the exit codes.
    """
    scope = sessions.Scope(collection, migration=migration)

    async def work(session: sessions.Session, name: str) -> sessions.Result:
        return await _watch_newest(session, scope, name, until)

    sessions.run(connection, scope, work, as_json=as_json, works=True)


@click.command()
@click.argument("migration", required=False, metavar="[ID]")
@click.option("-w", "--watch", is_flag=True, help="Keep showing it, as `watch` does.")
@sessions.options()
def status(
    migration: str | None,
    watch: bool,
    collection: str | None,
    every: bool,
    as_json: bool,
    **connection: Any,
) -> None:
    """Show a migration's state and what comes next.

    Shows the newest migration, or the one with that ID. See `vecmark migrate --help` for the exit
    codes.
    """
    scope = sessions.Scope(collection, every, migration)
    if watch and every:
        raise click.UsageError("--watch shows one collection; it can't be combined with --all")

    async def work(session: sessions.Session, name: str) -> sessions.Result:
        if watch:
            return await _watch_newest(session, scope, name)
        return await _show_status(session, scope, name)

    sessions.run(connection, scope, work, as_json=as_json, works=watch)


@click.command("list")
@sessions.options()
def list_(collection: str | None, every: bool, as_json: bool, **connection: Any) -> None:
    """List a collection's migrations, newest first."""
    scope = sessions.Scope(collection, every)
    answers = asyncio.run(_read_all(flags.load(connection), scope))
    if as_json:
        output.raw_json(*(answer.content for answer in answers), is_list=True)
        return
    if not answers:
        of = "" if every else f" of {collection or DEFAULT_COLLECTION}"
        plan = f"`{output.command()} migrate plan --to MODEL`"
        output.line(f"No migrations{of} yet: {plan} shows what one would take.", err=True)
        return
    tables.show(COLUMNS, [row(answer.value) for answer in answers])


@click.command()
@click.argument("migration", required=False, metavar="[ID]")
@sessions.options(every=False)
def report(migration: str | None, collection: str | None, as_json: bool, **connection: Any) -> None:
    """Show how the new index was verified.

    That is recall, overlap with the old index, the queries that changed most, and latency.
    """
    scope = sessions.Scope(collection, migration=migration)

    async def work(session: sessions.Session, name: str) -> sessions.Result:
        answer = await requests.find_newest(session.service, name, migration)
        if answer is None:
            raise errors.Failure(_explain_none(name))
        if as_json:
            path = requests.path(name, answer.value.id, "report")
            return sessions.Result(await session.service.send("GET", path))
        output.line((await requests.report_text(session.service, answer.value)).rstrip("\n"))
        return sessions.Result()

    sessions.run(connection, scope, work, as_json=as_json)


async def follow(
    session: sessions.Session,
    answer: MigrationAnswer,
    is_over: Callable[[Migration], bool],
    exit_code: Callable[[Migration], int] = outcome.exit_code,
) -> sessions.Result:
    """Show a migration until it is over, then print its outcome."""
    migration = answer.value
    if session.is_private and not is_over(migration):
        output.line("No running service was found: this command does the work itself.", err=True)
    try:
        answer = await _poll_until(session, answer, is_over)
    except asyncio.CancelledError:
        output.line(_explain_interruption(session, migration.collection), err=True)
        raise
    for line in outcome.describe(answer.value):
        session.print(line)
    return sessions.Result(answer.content, exit_code(answer.value))


async def _poll_until(
    session: sessions.Session, answer: MigrationAnswer, is_over: Callable[[Migration], bool]
) -> MigrationAnswer:
    answered_at = time.monotonic()
    with live.choose_view() as view:
        view.show(answer.value)
        while not is_over(answer.value):
            await asyncio.sleep(POLL_S)
            try:
                answer = await requests.refresh(session.service, answer.value)
            except errors.Unavailable as error:
                if session.is_private or time.monotonic() - answered_at > PATIENCE_S:
                    raise _service_lost(session, answer.value, error.reason) from error
                view.show_silence(error.reason)
            else:
                answered_at = time.monotonic()
                view.show(answer.value)
    return answer


def _service_lost(session: sessions.Session, migration: Migration, reason: str) -> errors.Failure:
    return errors.Failure(
        f"the service at {session.service.url} doesn't answer any more ({reason}); the migration "
        f"continues when a service runs again: {_watch_command(migration.collection)}"
    )


def _explain_interruption(session: sessions.Session, collection: str) -> str:
    look = _watch_command(collection)
    if session.is_private:
        return (
            "Interrupted: the migration continues from here when a service runs "
            f"(`{output.command()} serve`); then watch it with {look}."
        )
    return f"The migration continues; watch it again with {look}."


def _watch_command(collection: str) -> str:
    return f"`{output.command()} migrate watch{cli_hints.collection_flag(collection)}`"


def _explain_none(collection: str) -> str:
    return (
        f"No migration of {collection} yet: `{output.command()} migrate plan --to MODEL"
        f"{cli_hints.collection_flag(collection)}` shows what one would take."
    )


async def _watch_newest(
    session: sessions.Session, scope: sessions.Scope, name: str, until: outcome.Until = "cutover"
) -> sessions.Result:
    answer = await requests.find_newest(session.service, name, scope.migration)
    if answer is None:
        output.line(_explain_none(name), err=True)
        return sessions.Result()
    return await follow(session, answer, lambda migration: outcome.is_over(migration, until))


async def _show_status(
    session: sessions.Session, scope: sessions.Scope, name: str
) -> sessions.Result:
    answer = await requests.find_newest(session.service, name, scope.migration)
    if answer is None:
        output.line(_explain_none(name), err=True)
        return sessions.Result()
    for line in text.describe(answer.value):
        session.print(line)
    if scope.every:
        session.print("")
    return sessions.Result(answer.content, outcome.exit_code(answer.value))


async def _read_all(settings: Settings, scope: sessions.Scope) -> list[MigrationAnswer]:
    async with client.open_service(settings) as service:
        names = await sessions.collection_names(service, scope)
        return [
            answer for name in names for answer in await requests.list_migrations(service, name)
        ]


def row(migration: Migration) -> tuple[str, ...]:
    progress = migration.progress
    return (
        migration.id,
        migration.collection,
        migration.state,
        *text.endpoints(migration),
        f"{progress.documents_done:,} of {progress.documents:,}",
        f"{progress.failed:,}",
        output.timestamp(migration.created_at),
    )
