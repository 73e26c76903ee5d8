from typing import Any

import click

from api.cli import failure, output
from api.cli.migrate import described, outcome, scope, watching


@click.command()
@click.argument("migration", required=False, metavar="[ID]")
@click.option("-w", "--watch", is_flag=True, help="Go on showing it, as `watch` does.")
@scope.options()
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
    meant = scope.Scope(collection, every, migration)
    if watch and every:
        raise click.UsageError("--watch shows one collection; leave --all out")

    async def work(session: scope.Session, name: str) -> scope.Done:
        if watch:
            return await watching.newest(session, meant, name)
        return await _status(session, meant, name)

    scope.run(given, meant, work, as_json=as_json, works=watch)


async def _status(session: scope.Session, meant: scope.Scope, name: str) -> scope.Done:
    from api.cli.migrate import remote

    found = await remote.newest(session.service, name, meant.migration)
    if found is None:
        output.line(watching.none_yet(name), err=True)
        return scope.Done()
    for line in described.whole(found):
        session.say(line)
    if meant.every:
        session.say("")
    return scope.Done(found, outcome.code(found))


@click.command()
@click.argument("migration", required=False, metavar="[ID]")
@scope.options(every=False)
def report(migration: str | None, collection: str | None, as_json: bool, **given: Any) -> None:
    """What the new index was found to be: recall, overlap, what changed most, latency."""
    meant = scope.Scope(collection, migration=migration)

    async def work(session: scope.Session, name: str) -> scope.Done:
        from api.cli.migrate import remote

        found = await remote.newest(session.service, name, migration)
        if found is None:
            raise failure.Failure(watching.none_yet(name))
        if as_json:
            where = remote.path(name, found["id"], "report")
            return scope.Done(await session.service.request("GET", where))
        output.line((await remote.page(session.service, found)).rstrip("\n"))
        return scope.Done()

    scope.run(given, meant, work, as_json=as_json)
