"""Which collections a command is about, and doing its work for each of them."""

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from api import settings
from api.cli import failure, flags, output

if TYPE_CHECKING:
    from api.cli import client

DEFAULT = "default"
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

    service: "client.Service"
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
            help=f"Which one.  [default: {DEFAULT}]",
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
    from api.cli import interruption

    try:
        code = interruption.run(work)
    except interruption.Interrupted as error:
        raise SystemExit(INTERRUPTED) from error
    raise SystemExit(code)


async def need_running(chosen: settings.Settings, flag: str) -> None:
    """Failure where a flag asks to leave the work to a service and there is none."""
    from api.cli import connection

    if await connection.running(chosen) is None:
        raise failure.Failure(
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
    from api.cli import connection

    async with connection.open_service(chosen, works=works) as service:
        session = Session(service, as_json)
        if not meant.every:
            done = [await work(session, meant.collection or DEFAULT)]
        else:
            done = [await _tolerantly(session, name, work) for name in await names(service, meant)]
    if as_json:
        answers = [one.answer for one in done]
        some = [answer for answer in answers if answer is not None]
        output.as_json(some if meant.every else answers[0])
    return max((one.code for one in done), default=0)


async def names(service: "client.Service", meant: Scope) -> list[str]:
    if not meant.every:
        return [meant.collection or DEFAULT]
    found = [str(entry["name"]) for entry in await service.collections()]
    if not found:
        output.line(f"No collection yet: `{output.command()} add FILE` makes one.", err=True)
    return found


async def _tolerantly(session: Session, name: str, work: Work) -> Done:
    """A collection's failure is said and doesn't keep the others from their turn."""
    try:
        return await work(session, name)
    except failure.Failure as error:
        output.line(f"Error: {name}: {error.message}", err=True)
        return Done(code=error.exit_code)
