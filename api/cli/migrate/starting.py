from pathlib import Path
from typing import Any

import click

from api import settings
from api.cli import flags, output
from api.cli.migrate import golden, limits, outcome, planning, scope, watching
from migrations.reembed import commands


@click.command()
@planning.wishes
@click.option(
    "--gate",
    "gates",
    callback=limits.gates,
    multiple=True,
    metavar="NAME=VALUE",
    help="What must hold: recall and overlap at least, ndcg_drop at most.  [default: recall=0.98]",
)
@click.option(
    "--golden",
    "golden_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='Questions for ndcg: lines of {"q": TEXT, "relevant": {ID: GAIN} or [ID, ...]}.',
)
@click.option("--manual", is_flag=True, help="Stop when it is ready; `cutover` goes on.")
@click.option("--retain", metavar="TIME", help="Keep the old index: 90m, 24h, 7d.  [default: 24h]")
@limits.throttle
@click.option("--waive-failed", is_flag=True, help="Cut over without texts that fail.")
@click.option("--detach", is_flag=True, help="Only start it; see `watch`.")
@scope.options()
def start(
    *,
    collection: str | None,
    every: bool,
    as_json: bool,
    detach: bool,
    **asked: Any,
) -> None:
    """Move a collection to another model or chunking; searches and writes go on meanwhile.

    Shown until it is cut over; Ctrl+C leaves it running. --all takes the collections one after
    another, with --detach all at once. Exits as `vecmark migrate --help` says.
    """
    given = {name: asked.pop(name) for name in flags.CONNECTION}
    body = asking(**asked)
    meant = scope.Scope(collection, every)
    scope.leave(_start(flags.load(given), meant, body, detach=detach, as_json=as_json))


def asking(
    *,
    model: str,
    chunking: str | None = None,
    chunk_size: int | None = None,
    chunk_overlap: int | None = None,
    gates: dict[str, float] | None = None,
    golden_file: Path | None = None,
    manual: bool = False,
    retain: str | None = None,
    max_rate: limits.Limit | None = None,
    query_p95: limits.Limit | None = None,
    waive_failed: bool = False,
) -> dict[str, Any]:
    """The body of the request: only what was given, so that the service's defaults hold."""
    given = {
        "gates": gates or None,
        "golden": golden.read(golden_file) if golden_file else None,
        "manual": manual or None,
        "retain": retain,
        "waive_failed": waive_failed or None,
    }
    wished = planning.wished(model, chunking, chunk_size, chunk_overlap)
    wished |= {name: value for name, value in given.items() if value is not None}
    return wished | limits.asked(max_rate, query_p95)


async def _start(
    chosen: settings.Settings,
    meant: scope.Scope,
    body: dict[str, Any],
    *,
    detach: bool,
    as_json: bool,
) -> int:
    if detach:
        await scope.need_running(chosen, "--detach")

    async def work(session: scope.Session, name: str) -> scope.Done:
        from api.cli.migrate import remote

        found = await session.service.request("POST", remote.path(name), json=body)
        if found.get("needed") is False:
            session.say(f"{name}: {found['detail']}")
            return scope.Done(found)
        if not detach:
            return await watching.follow(session, found, outcome.is_over)
        look = f"{output.command()} migrate watch{commands.flag(name)}"
        session.say(f"{name}: started {found['id']}; see `{look}`")
        return scope.Done(found)

    return await scope.each(chosen, meant, work, as_json=as_json, works=True)
