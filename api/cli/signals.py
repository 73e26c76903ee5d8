import asyncio
import signal
from collections.abc import Coroutine
from typing import TypeVar

import uvloop

Result = TypeVar("Result")


class Interrupted(Exception):
    """SIGINT or SIGTERM came; the work has unwound."""


def run(work: Coroutine[None, None, Result]) -> Result:
    """Run on uvloop; a signal cancels the work, and Interrupted is raised once it has unwound."""
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
