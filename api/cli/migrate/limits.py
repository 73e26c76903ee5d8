"""Values that the command line takes: gates, and limits that can be lifted."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

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


def asked(max_rate: Limit | None, query_p95: Limit | None) -> dict[str, float | None]:
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
