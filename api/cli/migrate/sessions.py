"""Which collections a command is about, and doing its work for each of them."""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import click
import httpx

from api import settings
from api.cli import client, errors, flags, output
from api.cli.migrate import outcome
from migrations.reembed import cli_hints
from storage.names import DEFAULT_COLLECTION

if TYPE_CHECKING:
    from api.cli import client

INTERRUPTED = 130
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Scope:
    """The collections meant, and the migration where one was named."""

    collection: str | None
    every: bool = False
    migration: str | None = None

    def __post_init__(self) -> None:
        if self.every and self.collection is not None:
            raise click.UsageError("--all means every collection; leave --collection out")
        if self.every and self.migration is not None:
            raise click.UsageError("--all means every collection; leave the migration's ID out")


@dataclass(frozen=True)
class Session:
    """A service at hand for one command."""

    service: "client.ServiceClient"
    as_json: bool

    @property
    def is_own(self) -> bool:
        """Whether this process is the service: what it does ends with the command."""
        return self.service.socket is not None

    def say(self, text: str) -> None:
        """Say something to a person; a program gets the answer alone."""
        if not self.as_json:
            output.line(text)


@dataclass(frozen=True)
class Done:
    """What became of one collection: the exit code, and the service's answer for --json."""

    answer: Any = None
    code: int = 0


Work = Callable[[Session, str], Awaitable[Done]]


def options(*, every: bool = True) -> Callable[[Command], Command]:
    """`--collection`, `--json`, where it makes sense `--all`, and how to reach the service."""

    def decorate(command: Command) -> Command:
        command = flags.options(flags.CONNECTION)(command)
        command = click.option("--json", "as_json", is_flag=True, help="The service's answer.")(
            command
        )
        if every:
            command = click.option("--all", "every", is_flag=True, help="Every collection.")(
                command
            )
        return click.option(
            "-c",
            "--collection",
            metavar="NAME",
            multiple=True,
            callback=_one,
            help=f"Which one.  [default: {DEFAULT_COLLECTION}]",
        )(command)

    return decorate


def _one(_: click.Context, __: click.Parameter, names: tuple[str, ...]) -> str | None:
    if len(names) > 1:
        raise click.BadParameter(f"one at a time, not {' and '.join(names)}")
    return names[0] if names else None


def run(
    given: dict[str, Any], meant: Scope, work: Work, *, as_json: bool = False, works: bool = False
) -> None:
    """Do the work for each collection meant, and exit by the highest code."""
    leave(each(flags.load(given), meant, work, as_json=as_json, works=works))


def leave(work: Coroutine[None, None, int]) -> None:
    """Run to the end and exit by the code that comes out."""
    from api.cli import signals

    try:
        code = signals.run(work)
    except signals.Interrupted as error:
        raise SystemExit(INTERRUPTED) from error
    raise SystemExit(code)


async def need_running(chosen: settings.Settings, flag: str) -> None:
    """Failure where a flag asks to leave the work to a service and there is none."""
    from api.cli import client

    if await client.running(chosen) is None:
        raise errors.Failure(
            f"{flag} leaves the work to a running service, and none was found: start one by "
            f"`{output.command()} serve` or name it by --url. Without {flag} this command does "
            "the work itself, as long as it runs."
        )


async def each(
    chosen: settings.Settings, meant: Scope, work: Work, *, as_json: bool, works: bool = False
) -> int:
    """Do the work for each collection meant, one after another; the highest code.

    `works`: where no service runs, this process moves migrations on meanwhile.
    """
    from api.cli import client

    async with client.open_service(chosen, works=works) as service:
        session = Session(service, as_json)
        if not meant.every:
            done = [await work(session, meant.collection or DEFAULT_COLLECTION)]
        else:
            done = [await _tolerantly(session, name, work) for name in await names(service, meant)]
    if as_json:
        answers = [one.answer for one in done]
        some = [answer for answer in answers if answer is not None]
        output.as_json(some if meant.every else answers[0])
    return max((one.code for one in done), default=0)


async def names(service: "client.ServiceClient", meant: Scope) -> list[str]:
    if not meant.every:
        return [meant.collection or DEFAULT_COLLECTION]
    found = [str(entry["name"]) for entry in await service.collections()]
    if not found:
        output.line(f"No collection yet: `{output.command()} add FILE` makes one.", err=True)
    return found


async def _tolerantly(session: Session, name: str, work: Work) -> Done:
    """A collection's failure is said and doesn't keep the others from their turn."""
    try:
        return await work(session, name)
    except errors.Failure as error:
        output.line(f"Error: {name}: {error.message}", err=True)
        return Done(code=error.exit_code)


if TYPE_CHECKING:
    pass

# A running service answers in milliseconds; one that hangs must not hold a live view.
POLL_TIMEOUT = httpx.Timeout(10)
BLOCKED = "/problems/cutover-blocked"


class Blocked(errors.Failure):
    """The cut-over was refused for its gates, or for texts that failed."""

    exit_code = outcome.CODES["blocked"]


class Silent(Exception):
    """The service doesn't answer just now, or not as it should: it may be restarting."""


def path(collection: str, *parts: str) -> str:
    return "/".join((f"{client.collection_path(collection)}/migrations", *map(_quoted, parts)))


async def all_(service: "client.ServiceClient", collection: str) -> list[dict[str, Any]]:
    """A collection's migrations, newest first."""
    found: list[dict[str, Any]] = (await service.request("GET", path(collection)))["items"]
    return found


async def newest(
    service: "client.ServiceClient", collection: str, migration: str | None = None
) -> dict[str, Any] | None:
    """The migration named, else the newest; None where there has been none."""
    if migration is not None:
        found: dict[str, Any] = await service.request("GET", path(collection, migration))
        return found
    return next(iter(await all_(service, collection)), None)


async def open_(
    service: "client.ServiceClient", collection: str, migration: str | None = None
) -> dict[str, Any] | None:
    """The migration named, else the one of the collection that has not ended."""
    if migration is not None:
        return await newest(service, collection, migration)
    return next((one for one in await all_(service, collection) if outcome.is_open(one)), None)


async def meant(session: Session, given: Scope, name: str) -> dict[str, Any] | None:
    """The migration that a command acts on; Failure where there is none, None with --all."""
    found = await open_(session.service, name, given.migration)
    if found is None:
        last = await newest(session.service, name)
        told = "" if last is None else f" (the last one is {last['state']})"
        nothing = f"{name}: no migration is under way{told}"
        if not given.every:
            look = f"`{output.command()} migrate list{cli_hints.collection_flag(name)}`"
            raise errors.Failure(f"{nothing}; see {look}")
        session.say(f"{nothing}.")
    return found


async def act(
    service: "client.ServiceClient",
    found: dict[str, Any],
    verb: str,
    body: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Tell the service what to do with a migration; the migration as it is then."""
    where = path(found["collection"], found["id"], verb)
    response = await _send(service, "POST", where, json=body)
    answer: dict[str, Any] = response.json()
    return answer


async def page(service: "client.ServiceClient", found: dict[str, Any]) -> str:
    """The report of a migration as text."""
    where = path(found["collection"], found["id"], "report")
    return (await _send(service, "GET", where, params={"format": "text"})).text


async def _send(
    service: "client.ServiceClient", method: str, where: str, **arguments: Any
) -> httpx.Response:
    try:
        response = await service.http.request(method, where, **arguments)
    except httpx.TransportError as error:
        raise client.unreachable(service.url, error) from error
    if response.is_error:
        problem = _json(response)
        told = errors.from_problem(response.status_code, problem)
        kind = problem.get("type") if isinstance(problem, dict) else None
        raise Blocked(told.message) if str(kind).endswith(BLOCKED) else told
    return response


async def poll(service: "client.ServiceClient", found: dict[str, Any]) -> dict[str, Any]:
    """The migration as it is now. Silent where asking again may help, Failure where not."""
    where = path(found["collection"], found["id"])
    try:
        response = await service.http.get(where, timeout=POLL_TIMEOUT)
    except httpx.TransportError as error:
        raise Silent(str(error) or type(error).__name__) from error
    answer = _json(response)
    if response.is_server_error or not isinstance(answer, dict):
        raise Silent(errors.from_problem(response.status_code, answer).message)
    if response.is_error:
        raise errors.from_problem(response.status_code, answer)
    return answer


def _quoted(part: str) -> str:
    return quote(part, safe="")


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
