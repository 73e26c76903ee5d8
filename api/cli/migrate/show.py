import asyncio
import time
from collections.abc import Callable
from typing import Any, get_args

import click

from api import settings
from api.cli import errors, flags, output
from api.cli.migrate import live, outcome, sessions, text
from migrations.reembed import cli_hints
from storage import names

POLL_S = 0.5
SILENCE_S = 300.0


@click.command()
@click.argument("migration", required=False, metavar="[ID]")
@click.option(
    "--until",
    type=click.Choice(get_args(outcome.Until)),
    default="cutover",
    show_default=True,
    help="The end is after the soak.",
)
@sessions.options(every=False)
def watch(
    migration: str | None,
    until: outcome.Until,
    collection: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Show the newest migration, or the one named, while it runs.

    To leave by Ctrl+C changes nothing about it. Exits as `vecmark migrate --help` says.
    """
    meant = sessions.Scope(collection, migration=migration)

    async def work(session: sessions.Session, name: str) -> sessions.Done:
        return await newest(session, meant, name, until)

    sessions.run(given, meant, work, as_json=as_json, works=True)


async def newest(
    session: sessions.Session, meant: sessions.Scope, name: str, until: outcome.Until = "cutover"
) -> sessions.Done:
    """Watch what `status` would show."""
    from api.cli.migrate import sessions

    found = await sessions.newest(session.service, name, meant.migration)
    if found is None:
        output.line(none_yet(name), err=True)
        return sessions.Done()
    return await follow(session, found, lambda found: outcome.is_over(found, until))


async def follow(
    session: sessions.Session,
    found: dict[str, Any],
    is_over: Callable[[dict[str, Any]], bool],
    code: Callable[[dict[str, Any]], int] = outcome.code,
) -> sessions.Done:
    """Show a migration until it is over, and say what it came to."""
    if session.is_own and not is_over(found):
        output.line("No running service was found: this command does the work itself.", err=True)
    try:
        found = await _until_over(session, found, is_over)
    except asyncio.CancelledError:
        output.line(_left(session, found["collection"]), err=True)
        raise
    for line in outcome.describe(found):
        session.say(line)
    return sessions.Done(found, code(found))


async def _until_over(
    session: sessions.Session, found: dict[str, Any], is_over: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    from api.cli.migrate import sessions

    answered = time.monotonic()
    with live.choose() as view:
        view.show(found)
        while not is_over(found):
            await asyncio.sleep(POLL_S)
            try:
                found = await sessions.poll(session.service, found)
            except sessions.Silent as error:
                if session.is_own or time.monotonic() - answered > SILENCE_S:
                    raise _gone(session, found, error) from error
                view.silence(str(error))
            else:
                answered = time.monotonic()
                view.show(found)
    return found


def none_yet(collection: str) -> str:
    return (
        f"No migration of {collection} yet: `{output.command()} migrate plan --to MODEL"
        f"{cli_hints.collection_flag(collection)}` says what one would take."
    )


def _left(session: sessions.Session, collection: str) -> str:
    look = f"{output.command()} migrate watch{cli_hints.collection_flag(collection)}"
    if session.is_own:
        return (
            "Interrupted: the migration goes on where it was when a service runs "
            f"(`{output.command()} serve`); then look by `{look}`."
        )
    return f"The migration goes on; look again by `{look}`."


def _gone(session: sessions.Session, found: dict[str, Any], error: Exception) -> errors.Failure:
    look = f"{output.command()} migrate watch{cli_hints.collection_flag(found['collection'])}"
    return errors.Failure(
        f"the service at {session.service.url} doesn't answer any more ({error}); the migration "
        f"goes on when one runs again: `{look}`"
    )


COLUMNS = ("migration", "collection", "state", "from", "to", "documents", "failed", "started")


@click.command("list")
@sessions.options()
def list_(collection: str | None, every: bool, as_json: bool, **given: Any) -> None:
    """All migrations of a collection, newest first."""
    meant = sessions.Scope(collection, every)
    found = asyncio.run(_all(flags.load(given), meant))
    if as_json:
        output.as_json(found)
        return
    if not found:
        of = "" if every else f" of {collection or names.DEFAULT_COLLECTION}"
        plan = f"`{output.command()} migrate plan --to MODEL`"
        output.line(f"No migration{of} yet: {plan} says what one would take.", err=True)
        return
    output.table(COLUMNS, [row(one) for one in found])


def row(found: dict[str, Any]) -> tuple[str, ...]:
    progress = found["progress"]
    return (
        found["id"],
        found["collection"],
        found["state"],
        *text.ends(found),
        f"{progress['documents_done']:,} of {progress['documents']:,}",
        f"{progress['failed']:,}",
        text.moment(found["created_at"]),
    )


async def _all(chosen: settings.Settings, meant: sessions.Scope) -> list[dict[str, Any]]:
    from api.cli import client
    from api.cli.migrate import sessions

    async with client.open_service(chosen) as service:
        names = await sessions.names(service, meant)
        return [one for name in names for one in await sessions.all_(service, name)]


@click.command()
@click.argument("migration", required=False, metavar="[ID]")
@click.option("-w", "--watch", is_flag=True, help="Go on showing it, as `watch` does.")
@sessions.options()
def status(
    migration: str | None,
    watch: bool,
    collection: str | None,
    every: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """The newest migration, or the one named: its state, and what comes next.

    Exits by its state, as `vecmark migrate --help` says.
    """
    meant = sessions.Scope(collection, every, migration)
    if watch and every:
        raise click.UsageError("--watch shows one collection; leave --all out")

    async def work(session: sessions.Session, name: str) -> sessions.Done:
        if watch:
            return await newest(session, meant, name)
        return await _status(session, meant, name)

    sessions.run(given, meant, work, as_json=as_json, works=watch)


async def _status(session: sessions.Session, meant: sessions.Scope, name: str) -> sessions.Done:
    from api.cli.migrate import sessions

    found = await sessions.newest(session.service, name, meant.migration)
    if found is None:
        output.line(none_yet(name), err=True)
        return sessions.Done()
    for line in text.describe(found):
        session.say(line)
    if meant.every:
        session.say("")
    return sessions.Done(found, outcome.code(found))


@click.command()
@click.argument("migration", required=False, metavar="[ID]")
@sessions.options(every=False)
def report(migration: str | None, collection: str | None, as_json: bool, **given: Any) -> None:
    """What the new index was found to be: recall, overlap, what changed most, latency."""
    meant = sessions.Scope(collection, migration=migration)

    async def work(session: sessions.Session, name: str) -> sessions.Done:
        from api.cli.migrate import sessions

        found = await sessions.newest(session.service, name, migration)
        if found is None:
            raise errors.Failure(none_yet(name))
        if as_json:
            where = sessions.path(name, found["id"], "report")
            return sessions.Done(await session.service.request("GET", where))
        output.line((await sessions.page(session.service, found)).rstrip("\n"))
        return sessions.Done()

    sessions.run(given, meant, work, as_json=as_json)
