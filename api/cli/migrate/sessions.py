"""Chooses the collections of a command, and runs its work for each of them."""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from api.cli import client, errors, flags, output, signals
from api.cli.migrate import requests
from api.settings import Settings
from migrations.reembed import cli_hints
from storage.names import DEFAULT_COLLECTION

INTERRUPTED = 130
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Scope:
    """The collections a command is about, and the migration if its id was given."""

    collection: str | None
    every: bool = False
    migration: str | None = None

    def __post_init__(self) -> None:
        if self.every and self.collection is not None:
            raise click.UsageError("--all can't be combined with --collection")
        if self.every and self.migration is not None:
            raise click.UsageError("--all can't be combined with a migration's ID")


@dataclass(frozen=True)
class Session:
    """A service to talk to, for one command."""

    service: client.ServiceClient
    as_json: bool

    @property
    def is_private(self) -> bool:
        """Whether this process runs the service: what it does ends with the command."""
        return self.service.socket is not None

    def print(self, text: str) -> None:
        """Print a line for a person; with --json only the answer is printed."""
        if not self.as_json:
            output.line(text)


@dataclass(frozen=True)
class Result:
    """The outcome for one collection: the service's answer for --json, and the exit code."""

    answer: bytes | None = None
    code: int = 0


Work = Callable[[Session, str], Awaitable[Result]]


def options(*, every: bool = True) -> Callable[[Command], Command]:
    """Add `--collection`, `--json`, the connection's flags and, if it makes sense, `--all`."""

    def decorate(command: Command) -> Command:
        command = flags.json_option(flags.options(flags.CONNECTION)(command))
        if every:
            about = "Apply to every collection."
            command = click.option("--all", "every", is_flag=True, help=about)(command)
        return click.option(
            "-c",
            "--collection",
            metavar="NAME",
            multiple=True,
            callback=_take_single,
            help=f"Collection name.  [default: {DEFAULT_COLLECTION}]",
        )(command)

    return decorate


def _take_single(_: click.Context, __: click.Parameter, names: tuple[str, ...]) -> str | None:
    if len(names) > 1:
        raise click.BadParameter(f"only one at a time, not {' and '.join(names)}")
    return names[0] if names else None


def run(
    connection: dict[str, Any],
    scope: Scope,
    work: Work,
    *,
    as_json: bool = False,
    works: bool = False,
) -> None:
    """Do the work for each collection of the scope, and exit with the highest code."""
    exit_with(run_for_each(flags.load(connection), scope, work, as_json=as_json, works=works))


def exit_with(work: Coroutine[None, None, int]) -> None:
    """Run to the end and exit with the code that results."""
    try:
        code = signals.run(work)
    except signals.Interrupted as error:
        raise SystemExit(INTERRUPTED) from error
    raise SystemExit(code)


async def require_service(settings: Settings, flag: str) -> None:
    """Raises Failure if a flag leaves the work to a service and none is running."""
    if await client.find_running(settings) is None:
        raise errors.Failure(
            f"{flag} leaves the work to a running service, and none was found: start one with "
            f"`{output.command()} serve` or name it with --url. Without {flag} this command does "
            "the work itself while it runs."
        )


async def run_for_each(
    settings: Settings, scope: Scope, work: Work, *, as_json: bool, works: bool = False
) -> int:
    """Do the work for each collection of the scope, one after another; the highest exit code.

    `works`: if no service is running, this process runs migrations until the work is done.
    """
    async with client.open_service(settings, works=works) as service:
        session = Session(service, as_json)
        names = await collection_names(service, scope)
        if scope.every:
            results = [await _run_and_go_on(session, name, work) for name in names]
        else:
            results = [await work(session, name) for name in names]
    if as_json:
        _print_answers(results, is_list=scope.every)
    return max((result.code for result in results), default=0)


def _print_answers(results: list[Result], *, is_list: bool) -> None:
    answers = [result.answer for result in results if result.answer is not None]
    if answers or is_list:
        output.raw_json(*answers, is_list=is_list)
    else:
        output.as_json(None)


async def collection_names(service: client.ServiceClient, scope: Scope) -> list[str]:
    if not scope.every:
        return [scope.collection or DEFAULT_COLLECTION]
    names = [answer.value.name for answer in await service.collections()]
    if not names:
        output.line(f"No collections yet: `{output.command()} add FILE` creates one.", err=True)
    return names


async def _run_and_go_on(session: Session, name: str, work: Work) -> Result:
    """One collection's failure is printed and doesn't keep the others from being done."""
    try:
        return await work(session, name)
    except errors.Failure as error:
        output.line(f"Error: {name}: {error.message}", err=True)
        return Result(code=error.exit_code)


async def find_migration(
    session: Session, scope: Scope, name: str
) -> requests.MigrationAnswer | None:
    """The migration to act on. Without one: raises Failure, or gives None with --all."""
    answer = await requests.find_open(session.service, name, scope.migration)
    if answer is None:
        last = await requests.find_newest(session.service, name)
        suffix = "" if last is None else f" (the last one is {last.value.state})"
        message = f"{name}: no migration is in progress{suffix}"
        if not scope.every:
            look = f"`{output.command()} migrate list{cli_hints.collection_flag(name)}`"
            raise errors.Failure(f"{message}; see {look}")
        session.print(f"{message}.")
    return answer
