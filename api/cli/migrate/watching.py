import asyncio
import time
from collections.abc import Callable
from typing import Any, get_args

import click

from api.cli import failure, output
from api.cli.migrate import outcome, scope, views
from migrations.reembed import commands

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
@scope.options(every=False)
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
    meant = scope.Scope(collection, migration=migration)

    async def work(session: scope.Session, name: str) -> scope.Done:
        return await newest(session, meant, name, until)

    scope.run(given, meant, work, as_json=as_json, works=True)


async def newest(
    session: scope.Session, meant: scope.Scope, name: str, until: outcome.Until = "cutover"
) -> scope.Done:
    """Watch what `status` would show."""
    from api.cli.migrate import remote

    found = await remote.newest(session.service, name, meant.migration)
    if found is None:
        output.line(none_yet(name), err=True)
        return scope.Done()
    return await follow(session, found, lambda found: outcome.is_over(found, until))


async def follow(
    session: scope.Session,
    found: dict[str, Any],
    is_over: Callable[[dict[str, Any]], bool],
    code: Callable[[dict[str, Any]], int] = outcome.code,
) -> scope.Done:
    """Show a migration until it is over, and say what it came to."""
    if session.is_own and not is_over(found):
        output.line("No running service was found: this command does the work itself.", err=True)
    try:
        found = await _until_over(session, found, is_over)
    except asyncio.CancelledError:
        output.line(_left(session, found["collection"]), err=True)
        raise
    for line in outcome.told(found):
        session.say(line)
    return scope.Done(found, code(found))


async def _until_over(
    session: scope.Session, found: dict[str, Any], is_over: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    from api.cli.migrate import remote

    answered = time.monotonic()
    with views.choose() as view:
        view.show(found)
        while not is_over(found):
            await asyncio.sleep(POLL_S)
            try:
                found = await remote.poll(session.service, found)
            except remote.Silent as error:
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
        f"{commands.flag(collection)}` says what one would take."
    )


def _left(session: scope.Session, collection: str) -> str:
    look = f"{output.command()} migrate watch{commands.flag(collection)}"
    if session.is_own:
        return (
            "Interrupted: the migration goes on where it was when a service runs "
            f"(`{output.command()} serve`); then look by `{look}`."
        )
    return f"The migration goes on; look again by `{look}`."


def _gone(session: scope.Session, found: dict[str, Any], error: Exception) -> failure.Failure:
    look = f"{output.command()} migrate watch{commands.flag(found['collection'])}"
    return failure.Failure(
        f"the service at {session.service.url} doesn't answer any more ({error}); the migration "
        f"goes on when one runs again: `{look}`"
    )
