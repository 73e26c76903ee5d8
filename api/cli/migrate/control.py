from typing import Any

import click

from api import settings
from api.cli import flags, output
from api.cli.migrate import outcome, sessions, show, start, text


def _command(verb: str, about: str) -> click.Command:
    @click.command(verb, help=about)
    @click.argument("migration", required=False, metavar="[ID]")
    @sessions.options()
    def act(
        migration: str | None, collection: str | None, every: bool, as_json: bool, **given: Any
    ) -> None:
        meant = sessions.Scope(collection, every, migration)

        async def work(session: sessions.Session, name: str) -> sessions.Done:
            from api.cli.migrate import sessions

            found = await sessions.meant(session, meant, name)
            if found is None:
                return sessions.Done()
            return _told(session, await sessions.act(session.service, found, verb))

        sessions.run(given, meant, work, as_json=as_json)

    return act


pause = _command("pause", "Let a migration rest where it is.")
resume = _command("resume", "Let a migration go on that was paused, blocked or failed.")
cancel = _command("cancel", "Give a migration up before its cut-over; its index is dropped.")
retire = _command("retire", "Drop the old index now: after it there is no rollback.")


@click.command("set")
@click.argument("migration", required=False, metavar="[ID]")
@start.throttle
@sessions.options()
def set_(
    *,
    migration: str | None,
    max_rate: start.Limit | None,
    query_p95: start.Limit | None,
    collection: str | None,
    every: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Change how fast a migration may go, while it runs; `none` lifts a limit."""
    meant = sessions.Scope(collection, every, migration)
    body = start.throttle_fields(max_rate, query_p95)
    if not body:
        raise click.UsageError("give --max-rate, --query-p95 or both")

    async def work(session: sessions.Session, name: str) -> sessions.Done:
        from api.cli.migrate import sessions

        found = await sessions.meant(session, meant, name)
        if found is None:
            return sessions.Done()
        where = sessions.path(name, found["id"])
        changed = await session.service.request("PATCH", where, json=body)
        session.say(f"{name}: {text.limits(changed)}.")
        return sessions.Done(changed)

    sessions.run(given, meant, work, as_json=as_json)


def _told(session: sessions.Session, found: dict[str, Any]) -> sessions.Done:
    session.say(f"{found['collection']}: {found['state']}. {found['next']}".rstrip())
    if session.is_own and found["state"] in text.WORKING:
        command = f"`{output.command()} serve`"
        output.line(f"No service runs: it goes on when one does ({command}).", err=True)
    return sessions.Done(found)


@click.command()
@click.argument("migration", required=False, metavar="[ID]")
@click.option("--force", metavar="REASON", help="Whatever its gates say; the reason is kept.")
@click.option("--waive-failed", is_flag=True, help="Without the texts that failed.")
@click.option("--no-wait", is_flag=True, help="Ask for it, and don't wait until it is through.")
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
    **given: Any,
) -> None:
    """Let searches use the new index; `rollback` takes it back while the old one is kept.

    Refused where a gate doesn't hold or texts failed (exit code 3).
    """
    meant = sessions.Scope(collection, every, migration)
    body = _given(force=force, waive_failed=waive_failed or None)

    async def work(session: sessions.Session, name: str) -> sessions.Done:
        return await _cut_over(session, meant, name, body, wait=not no_wait)

    sessions.leave(_cutover(flags.load(given), meant, work, wait=not no_wait, as_json=as_json))


@click.command()
@click.argument("migration", required=False, metavar="[ID]")
@click.option("--force", metavar="REASON", help="Whatever would be lost; the reason is kept.")
@sessions.options()
def rollback(
    migration: str | None,
    force: str | None,
    collection: str | None,
    every: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Let searches use the old index again; refused where documents would be lost from sight."""
    meant = sessions.Scope(collection, every, migration)

    async def work(session: sessions.Session, name: str) -> sessions.Done:
        from api.cli.migrate import sessions

        found = await sessions.meant(session, meant, name)
        if found is None:
            return sessions.Done()
        found = await sessions.act(session.service, found, "rollback", _given(force=force))
        return await show.follow(session, found, outcome.is_rolled_back, outcome.rollback_code)

    sessions.run(given, meant, work, as_json=as_json, works=True)


async def _cutover(
    chosen: settings.Settings,
    meant: sessions.Scope,
    work: sessions.Work,
    *,
    wait: bool,
    as_json: bool,
) -> int:
    if not wait:
        await sessions.need_running(chosen, "--no-wait")
    return await sessions.each(chosen, meant, work, as_json=as_json, works=True)


async def _cut_over(
    session: sessions.Session, meant: sessions.Scope, name: str, body: dict[str, Any], *, wait: bool
) -> sessions.Done:
    from api.cli.migrate import sessions

    found = await sessions.meant(session, meant, name)
    if found is None:
        return sessions.Done()
    found = await sessions.act(session.service, found, "cutover", body)
    if wait:
        return await show.follow(session, found, outcome.CutOver(len(found["history"])))
    session.say(f"{name}: {found['state']}. {found['next']}".rstrip())
    return sessions.Done(found)


def _given(**parts: Any) -> dict[str, Any]:
    return {name: value for name, value in parts.items() if value is not None}
