"""Run a coroutine so that SIGINT and SIGTERM cancel it and it can clean up."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import TypeVar

import uvloop

Result = TypeVar("Result")


class Interrupted(Exception):
    """SIGINT or SIGTERM arrived, and the coroutine has cleaned up."""


def run(work: Coroutine[None, None, Result]) -> Result:
    """Run on uvloop. Raises Interrupted once a signal has cancelled the work and it cleaned up."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_interruptible(work))


async def _interruptible(work: Coroutine[None, None, Result]) -> Result:
    task = asyncio.create_task(work, name="main")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError as error:
        raise Interrupted from error
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
