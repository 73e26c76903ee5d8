from typing import Any

import click

from api import settings
from api.cli import flags
from api.cli.migrate import outcome, scope, watching


@click.command()
@click.argument("migration", required=False, metavar="[ID]")
@click.option("--force", metavar="REASON", help="Whatever its gates say; the reason is kept.")
@click.option("--waive-failed", is_flag=True, help="Without the texts that failed.")
@click.option("--no-wait", is_flag=True, help="Ask for it, and don't wait until it is through.")
@scope.options()
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
    meant = scope.Scope(collection, every, migration)
    body = _given(force=force, waive_failed=waive_failed or None)

    async def work(session: scope.Session, name: str) -> scope.Done:
        return await _cut_over(session, meant, name, body, wait=not no_wait)

    scope.leave(_cutover(flags.load(given), meant, work, wait=not no_wait, as_json=as_json))


@click.command()
@click.argument("migration", required=False, metavar="[ID]")
@click.option("--force", metavar="REASON", help="Whatever would be lost; the reason is kept.")
@scope.options()
def rollback(
    migration: str | None,
    force: str | None,
    collection: str | None,
    every: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Let searches use the old index again; refused where documents would be lost from sight."""
    meant = scope.Scope(collection, every, migration)

    async def work(session: scope.Session, name: str) -> scope.Done:
        from api.cli.migrate import remote

        found = await remote.meant(session, meant, name)
        if found is None:
            return scope.Done()
        found = await remote.act(session.service, found, "rollback", _given(force=force))
        return await watching.follow(session, found, outcome.is_rolled_back, outcome.rollback_code)

    scope.run(given, meant, work, as_json=as_json, works=True)


async def _cutover(
    chosen: settings.Settings, meant: scope.Scope, work: scope.Work, *, wait: bool, as_json: bool
) -> int:
    if not wait:
        await scope.need_running(chosen, "--no-wait")
    return await scope.each(chosen, meant, work, as_json=as_json, works=True)


async def _cut_over(
    session: scope.Session, meant: scope.Scope, name: str, body: dict[str, Any], *, wait: bool
) -> scope.Done:
    from api.cli.migrate import remote

    found = await remote.meant(session, meant, name)
    if found is None:
        return scope.Done()
    found = await remote.act(session.service, found, "cutover", body)
    if wait:
        return await watching.follow(session, found, outcome.CutOver(len(found["history"])))
    session.say(f"{name}: {found['state']}. {found['next']}".rstrip())
    return scope.Done(found)


def _given(**parts: Any) -> dict[str, Any]:
    return {name: value for name, value in parts.items() if value is not None}
