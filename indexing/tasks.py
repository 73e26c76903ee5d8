"""The loop of every background task, and the rule for the errors that it survives."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from indexing import errors
from storage import engine as database

log = structlog.get_logger()


async def every(
    seconds: float,
    tick: Callable[[], Awaitable[bool | None]],
    *,
    name: str,
    ignore: tuple[type[Exception], ...] = (),
    wake: asyncio.Event | None = None,
    pause_first: bool = False,
) -> None:
    """Call `tick` until cancelled, `seconds` after it last returned.

    The pause is skipped after a tick that returned True (there is more to do) and ends early when
    `wake` is set; `wake` is cleared before each tick, so setting it during a tick brings another.

    An error never ends the loop: a heartbeat that stopped after one odd error would take its
    process out of service. Errors that pass by themselves (`passes`, and `ignore` for this task)
    are dropped, with a warning `<name>_delayed` if others hold up the work; all others are logged
    as `<name>_failed`. Then the tick is tried again after the pause. Only a cancellation, or what
    is not an `Exception`, ends the task; /readyz shows a task that died.
    """
    woken = asyncio.Event() if wake is None else wake
    if pause_first:
        await _pause(seconds, woken)
    while True:
        woken.clear()
        has_more = False
        try:
            has_more = await tick() is True
        except Exception as error:
            if not passes(error, ignore):
                log.exception(f"{name}_failed")
            elif isinstance(error, errors.Busy) or database.is_conflict(error):
                # Every tick again means that somebody holds a lock for long: it must show.
                log.warning(f"{name}_delayed", reason=str(error).partition("\n")[0])
        if not has_more:
            await _pause(seconds, woken)


def passes(error: Exception, ignore: tuple[type[Exception], ...] = ()) -> bool:
    """Whether the same work can succeed later without anybody doing anything.

    The database was unavailable, or another transaction won; `Busy` is what `retries` raises when
    either lasted.
    """
    return (
        isinstance(error, (errors.Busy, *ignore))
        or database.is_unavailable(error)
        or database.is_conflict(error)
    )


async def _pause(seconds: float, woken: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await woken.wait()
