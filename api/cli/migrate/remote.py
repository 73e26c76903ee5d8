"""The routes of migrations as the commands use them."""

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from api.cli import client, failure, output
from api.cli.migrate import outcome, scope
from migrations.reembed import commands

if TYPE_CHECKING:
    from api.cli.client import Service

# A running service answers in milliseconds; one that hangs must not hold a live view.
POLL_TIMEOUT = httpx.Timeout(10)
BLOCKED = "/problems/cutover-blocked"


class Blocked(failure.Failure):
    """The cut-over was refused for its gates, or for texts that failed."""

    exit_code = outcome.CODES["blocked"]


class Silent(Exception):
    """The service doesn't answer just now, or not as it should: it may be restarting."""


def path(collection: str, *parts: str) -> str:
    return "/".join((f"{client.collection_path(collection)}/migrations", *map(_quoted, parts)))


async def all_(service: "Service", collection: str) -> list[dict[str, Any]]:
    """A collection's migrations, newest first."""
    found: list[dict[str, Any]] = (await service.request("GET", path(collection)))["items"]
    return found


async def newest(
    service: "Service", collection: str, migration: str | None = None
) -> dict[str, Any] | None:
    """The migration named, else the newest; None where there has been none."""
    if migration is not None:
        found: dict[str, Any] = await service.request("GET", path(collection, migration))
        return found
    return next(iter(await all_(service, collection)), None)


async def open_(
    service: "Service", collection: str, migration: str | None = None
) -> dict[str, Any] | None:
    """The migration named, else the one of the collection that has not ended."""
    if migration is not None:
        return await newest(service, collection, migration)
    return next((one for one in await all_(service, collection) if outcome.is_open(one)), None)


async def meant(session: scope.Session, given: scope.Scope, name: str) -> dict[str, Any] | None:
    """The migration that a command acts on; Failure where there is none, None with --all."""
    found = await open_(session.service, name, given.migration)
    if found is None:
        last = await newest(session.service, name)
        told = "" if last is None else f" (the last one is {last['state']})"
        nothing = f"{name}: no migration is under way{told}"
        if not given.every:
            look = f"`{output.command()} migrate list{commands.flag(name)}`"
            raise failure.Failure(f"{nothing}; see {look}")
        session.say(f"{nothing}.")
    return found


async def act(
    service: "Service", found: dict[str, Any], verb: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Tell the service what to do with a migration; the migration as it is then."""
    where = path(found["collection"], found["id"], verb)
    response = await _send(service, "POST", where, json=body)
    answer: dict[str, Any] = response.json()
    return answer


async def page(service: "Service", found: dict[str, Any]) -> str:
    """The report of a migration as text."""
    where = path(found["collection"], found["id"], "report")
    return (await _send(service, "GET", where, params={"format": "text"})).text


async def _send(service: "Service", method: str, where: str, **arguments: Any) -> httpx.Response:
    try:
        response = await service.http.request(method, where, **arguments)
    except httpx.TransportError as error:
        raise client.unreachable(service.url, error) from error
    if response.is_error:
        problem = _json(response)
        told = failure.from_problem(response.status_code, problem)
        kind = problem.get("type") if isinstance(problem, dict) else None
        raise Blocked(told.message) if str(kind).endswith(BLOCKED) else told
    return response


async def poll(service: "Service", found: dict[str, Any]) -> dict[str, Any]:
    """The migration as it is now. Silent where asking again may help, Failure where not."""
    where = path(found["collection"], found["id"])
    try:
        response = await service.http.get(where, timeout=POLL_TIMEOUT)
    except httpx.TransportError as error:
        raise Silent(str(error) or type(error).__name__) from error
    answer = _json(response)
    if response.is_server_error or not isinstance(answer, dict):
        raise Silent(failure.from_problem(response.status_code, answer).message)
    if response.is_error:
        raise failure.from_problem(response.status_code, answer)
    return answer


def _quoted(part: str) -> str:
    return quote(part, safe="")


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
