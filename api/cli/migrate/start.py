"""Questions with the documents that answer them: what the quality of search is measured by."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from api import settings
from api.cli import errors, flags, output
from api.cli.migrate import outcome, plan, sessions, show
from migrations.reembed import cli_hints

Command = TypeVar("Command", bound=Callable[..., Any])

# With the least value that can be asked for: a drop below 0 is a rise.
GATES = {"recall": 0, "ndcg_drop": -1, "overlap": 0}


@dataclass(frozen=True)
class Limit:
    """A limit that was given; None lifts it."""

    value: float | None


def throttle(command: Command) -> Command:
    """The options that say how fast a migration may be."""
    about = "Slow down while searches take longer, in milliseconds."
    command = click.option("--query-p95", callback=limit, metavar="MS|none", help=about)(command)
    about = "Chunks a second at most."
    return click.option("--max-rate", callback=limit, metavar="N|none", help=about)(command)


def throttle_fields(max_rate: Limit | None, query_p95: Limit | None) -> dict[str, float | None]:
    """The fields of a request: only what was given."""
    given = {"max_rate": max_rate, "query_p95_ms": query_p95}
    return {name: limit.value for name, limit in given.items() if limit is not None}


def limit(_: click.Context, option: click.Parameter, given: str | None) -> Limit | None:
    """A number over 0, or `none`."""
    if given is None or given == "none":
        return None if given is None else Limit(None)
    number = _number(given)
    if not 0 < number < math.inf:
        raise click.BadParameter(f"{given!r} is neither a number over 0 nor none", param=option)
    return Limit(number)


def gates(_: click.Context, option: click.Parameter, given: Sequence[str]) -> dict[str, float]:
    """Gates as `recall=0.98`."""
    found = {}
    for one in given:
        name, value = [*one.split("=", 1), ""][:2]
        if name not in GATES:
            known = ", ".join(GATES)
            raise click.BadParameter(f"{name!r} is no gate; there are {known}", param=option)
        found[name] = _number(value)
        if not GATES[name] <= found[name] <= 1:
            message = f"{one!r} is not {name}= and a number from {GATES[name]} to 1"
            raise click.BadParameter(message, param=option)
    return found


def _number(given: str) -> float:
    try:
        return float(given)
    except ValueError:
        return math.nan


def read_golden(file: Path) -> list[dict[str, Any]]:
    """Lines of `{"q": ..., "relevant": {"id": gain} or ["id", ...]}`; Failure naming the line."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.Failure(f"{file}: not UTF-8 text ({error})") from error
    found = [_read(line, f"{file}:{no}") for no, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise errors.Failure(f"{file}: holds no question")
    return found


def _read(line: str, place: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise errors.Failure(f"{place}: not JSON ({error})") from error
    question = value.get("q") if isinstance(value, dict) else None
    if not isinstance(question, str) or not question.strip():
        raise errors.Failure(f'{place}: no question; a line is {{"q": TEXT, "relevant": ...}}')
    return {"q": question, "relevant": _gains(value.get("relevant"), place)}


def _gains(relevant: object, place: str) -> dict[str, float]:
    if isinstance(relevant, list):
        relevant = {str(document): 1 for document in relevant}
    if not isinstance(relevant, dict) or not relevant:
        kinds = '{"id": gain} or ["id", ...]'
        raise errors.Failure(f"{place}: `relevant` must name documents, as {kinds}")
    for document, gain in relevant.items():
        number = isinstance(gain, int | float) and not isinstance(gain, bool)
        if not number or not math.isfinite(gain) or gain < 0:
            raise errors.Failure(f"{place}: the gain of {document} is no number from 0 up")
    return relevant


@click.command()
@plan.target_options
@click.option(
    "--gate",
    "gates",
    callback=gates,
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
@throttle
@click.option("--waive-failed", is_flag=True, help="Cut over without texts that fail.")
@click.option("--detach", is_flag=True, help="Only start it; see `watch`.")
@sessions.options()
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
    body = request_body(**asked)
    meant = sessions.Scope(collection, every)
    sessions.leave(_start(flags.load(given), meant, body, detach=detach, as_json=as_json))


def request_body(
    *,
    model: str,
    chunking: str | None = None,
    chunk_size: int | None = None,
    chunk_overlap: int | None = None,
    gates: dict[str, float] | None = None,
    golden_file: Path | None = None,
    manual: bool = False,
    retain: str | None = None,
    max_rate: Limit | None = None,
    query_p95: Limit | None = None,
    waive_failed: bool = False,
) -> dict[str, Any]:
    """The body of the request: only what was given, so that the service's defaults hold."""
    given = {
        "gates": gates or None,
        "golden": read_golden(golden_file) if golden_file else None,
        "manual": manual or None,
        "retain": retain,
        "waive_failed": waive_failed or None,
    }
    wished = plan.target_fields(model, chunking, chunk_size, chunk_overlap)
    wished |= {name: value for name, value in given.items() if value is not None}
    return wished | throttle_fields(max_rate, query_p95)


async def _start(
    chosen: settings.Settings,
    meant: sessions.Scope,
    body: dict[str, Any],
    *,
    detach: bool,
    as_json: bool,
) -> int:
    if detach:
        await sessions.need_running(chosen, "--detach")

    async def work(session: sessions.Session, name: str) -> sessions.Done:
        from api.cli.migrate import sessions

        found = await session.service.request("POST", sessions.path(name), json=body)
        if found.get("needed") is False:
            session.say(f"{name}: {found['detail']}")
            return sessions.Done(found)
        if not detach:
            return await show.follow(session, found, outcome.is_over)
        look = f"{output.command()} migrate watch{cli_hints.collection_flag(name)}"
        session.say(f"{name}: started {found['id']}; see `{look}`")
        return sessions.Done(found)

    return await sessions.each(chosen, meant, work, as_json=as_json, works=True)
