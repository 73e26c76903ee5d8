"""`vecmark migrate start`: its options, the request, and watching what it starts."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from api.cli import errors, flags, output
from api.cli.migrate import outcome, plan, requests, sessions, show
from api.schemas import migrations as migration_schemas
from api.settings import Settings
from migrations.reembed import cli_hints

Command = TypeVar("Command", bound=Callable[..., Any])

# Each with the minimum of its limit: a drop below 0 is a rise.
GATES = {"recall": 0, "ndcg_drop": -1, "overlap": 0}


@dataclass(frozen=True)
class Limit:
    """A limit given as an option; None removes it."""

    value: float | None


def throttle_options(command: Command) -> Command:
    """Add the options that say how fast a migration may run."""
    for name, metavar, about in (
        ("--query-p95", "MS|none", "Slow down while searches take longer, in milliseconds."),
        ("--max-rate", "N|none", "Maximum chunks per second."),
    ):
        command = click.option(name, callback=parse_limit, metavar=metavar, help=about)(command)
    return command


def throttle_fields(max_rate: Limit | None, query_p95: Limit | None) -> dict[str, float | None]:
    """The fields of a request: only limits that were given."""
    limits = {"max_rate": max_rate, "query_p95_ms": query_p95}
    return {name: limit.value for name, limit in limits.items() if limit is not None}


def parse_limit(_: click.Context, option: click.Parameter, value: str | None) -> Limit | None:
    """A number above 0, or `none`."""
    if value is None or value == "none":
        return None if value is None else Limit(None)
    number = _parse_number(value)
    if not 0 < number < math.inf:
        raise click.BadParameter(f"{value!r} is neither a number above 0 nor none", param=option)
    return Limit(number)


def parse_gates(
    _: click.Context, option: click.Parameter, values: Sequence[str]
) -> dict[str, float]:
    """Gates such as `recall=0.98`."""
    gates = {}
    for gate in values:
        name, value = [*gate.split("=", 1), ""][:2]
        if name not in GATES:
            names = ", ".join(GATES)
            raise click.BadParameter(f"unknown gate {name!r}; use one of {names}", param=option)
        gates[name] = _parse_number(value)
        if not GATES[name] <= gates[name] <= 1:
            message = f"{gate!r} is not {name}= and a number from {GATES[name]} to 1"
            raise click.BadParameter(message, param=option)
    return gates


def _parse_number(value: str) -> float:
    """NaN if it isn't a number."""
    try:
        return float(value)
    except ValueError:
        return math.nan


def read_golden(file: Path) -> list[dict[str, Any]]:
    """Golden queries: lines of `{"q": ..., "relevant": {"id": gain} or ["id", ...]}`.

    Raises Failure naming the line.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.Failure(f"{file}: not UTF-8 text ({error})") from error
    queries = [
        _parse_query(line, f"{file}:{no}") for no, line in enumerate(lines, 1) if line.strip()
    ]
    if not queries:
        raise errors.Failure(f"{file}: contains no query")
    return queries


def _parse_query(line: str, place: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise errors.Failure(f"{place}: not JSON ({error})") from error
    query = value.get("q") if isinstance(value, dict) else None
    if not isinstance(query, str) or not query.strip():
        raise errors.Failure(f'{place}: no query; a line is {{"q": TEXT, "relevant": ...}}')
    return {"q": query, "relevant": _parse_gains(value.get("relevant"), place)}


def _parse_gains(relevant: object, place: str) -> dict[str, float]:
    if isinstance(relevant, list):
        relevant = {str(document): 1 for document in relevant}
    if not isinstance(relevant, dict) or not relevant:
        kinds = '{"id": gain} or ["id", ...]'
        raise errors.Failure(f"{place}: `relevant` must name documents, as {kinds}")
    for document, gain in relevant.items():
        is_number = isinstance(gain, int | float) and not isinstance(gain, bool)
        if not is_number or not math.isfinite(gain) or gain < 0:
            raise errors.Failure(f"{place}: the gain of {document} must be a number from 0 up")
    return relevant


@click.command()
@plan.target_options
@click.option(
    "--gate",
    "gates",
    callback=parse_gates,
    multiple=True,
    metavar="NAME=VALUE",
    help="Minimum recall or overlap, or maximum ndcg_drop.  [default: recall=0.98]",
)
@click.option(
    "--golden",
    "golden_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='Golden queries for ndcg_drop: lines of {"q": TEXT, "relevant": {ID: GAIN} or [ID, ...]}.',
)
@click.option("--manual", is_flag=True, help="Stop when it is ready and wait for `cutover`.")
@click.option(
    "--retain", metavar="TIME", help="How long to keep the old index: 90m, 24h, 7d.  [default: 24h]"
)
@throttle_options
@click.option("--waive-failed", is_flag=True, help="Cut over without the texts that fail.")
@click.option("--detach", is_flag=True, help="Only start it; `watch` shows it.")
@sessions.options()
def start(
    *,
    collection: str | None,
    every: bool,
    as_json: bool,
    detach: bool,
    **values: Any,
) -> None:
    """Start a migration and watch it.

    Searches and writes keep working. Shows the migration until its cutover; Ctrl+C leaves it
    running. --all migrates the collections one after another, with --detach all at once. See
    `vecmark migrate --help` for the exit codes.
    """
    settings = flags.load({name: values.pop(name) for name in flags.CONNECTION})
    body = request_body(**values)
    scope = sessions.Scope(collection, every)
    sessions.exit_with(_start(settings, scope, body, detach=detach, as_json=as_json))


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
    """The body of the request: only given options, so that the service's defaults apply."""
    options = {
        "gates": gates or None,
        "golden": read_golden(golden_file) if golden_file else None,
        "manual": manual or None,
        "retain": retain,
        "waive_failed": waive_failed or None,
    }
    body = plan.target_fields(model, chunking, chunk_size, chunk_overlap)
    body |= {name: value for name, value in options.items() if value is not None}
    return body | throttle_fields(max_rate, query_p95)


async def _start(
    settings: Settings,
    scope: sessions.Scope,
    body: dict[str, Any],
    *,
    detach: bool,
    as_json: bool,
) -> int:
    if detach:
        await sessions.require_service(settings, "--detach")

    async def work(session: sessions.Session, name: str) -> sessions.Result:
        content = await session.service.send("POST", requests.path(name), json=body)
        if not session.service.decode(content, _Started).value.needed:
            answer = session.service.decode(content, migration_schemas.NotNeeded)
            session.print(f"{name}: {answer.value.detail}")
            return sessions.Result(content)
        migration = session.service.decode(content, migration_schemas.Migration)
        if not detach:
            return await show.follow(session, migration, outcome.is_over)
        watch = f"{output.command()} migrate watch{cli_hints.collection_flag(name)}"
        session.print(f"{name}: started {migration.value.id}; watch it with `{watch}`")
        return sessions.Result(content)

    return await sessions.run_for_each(settings, scope, work, as_json=as_json, works=True)


class _Started(msgspec.Struct, frozen=True):
    """Which of its two answers the service gave."""

    needed: bool = True
