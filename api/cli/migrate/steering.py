from typing import Any

import click

from api.cli import output
from api.cli.migrate import described, limits, scope


def _command(verb: str, about: str) -> click.Command:
    @click.command(verb, help=about)
    @click.argument("migration", required=False, metavar="[ID]")
    @scope.options()
    def act(
        migration: str | None, collection: str | None, every: bool, as_json: bool, **given: Any
    ) -> None:
        meant = scope.Scope(collection, every, migration)

        async def work(session: scope.Session, name: str) -> scope.Done:
            from api.cli.migrate import remote

            found = await remote.meant(session, meant, name)
            if found is None:
                return scope.Done()
            return _told(session, await remote.act(session.service, found, verb))

        scope.run(given, meant, work, as_json=as_json)

    return act


pause = _command("pause", "Let a migration rest where it is.")
resume = _command("resume", "Let a migration go on that was paused, blocked or failed.")
cancel = _command("cancel", "Give a migration up before its cut-over; its index is dropped.")
retire = _command("retire", "Drop the old index now: after it there is no rollback.")


@click.command("set")
@click.argument("migration", required=False, metavar="[ID]")
@limits.throttle
@scope.options()
def set_(
    *,
    migration: str | None,
    max_rate: limits.Limit | None,
    query_p95: limits.Limit | None,
    collection: str | None,
    every: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Change how fast a migration may go, while it runs; `none` lifts a limit."""
    meant = scope.Scope(collection, every, migration)
    body = limits.asked(max_rate, query_p95)
    if not body:
        raise click.UsageError("give --max-rate, --query-p95 or both")

    async def work(session: scope.Session, name: str) -> scope.Done:
        from api.cli.migrate import remote

        found = await remote.meant(session, meant, name)
        if found is None:
            return scope.Done()
        where = remote.path(name, found["id"])
        changed = await session.service.request("PATCH", where, json=body)
        session.say(f"{name}: {described.limits(changed)}.")
        return scope.Done(changed)

    scope.run(given, meant, work, as_json=as_json)


def _told(session: scope.Session, found: dict[str, Any]) -> scope.Done:
    session.say(f"{found['collection']}: {found['state']}. {found['next']}".rstrip())
    if session.is_own and found["state"] in described.WORKING:
        command = f"`{output.command()} serve`"
        output.line(f"No service runs: it goes on when one does ({command}).", err=True)
    return scope.Done(found)
