import asyncio
import signal
from collections.abc import Coroutine

import uvloop


def run(work: Coroutine[None, None, None]) -> bool:
    """Run on uvloop; SIGINT or SIGTERM cancels the work, which unwinds. True where one did."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_interruptible(work))


async def _interruptible(work: Coroutine[None, None, None]) -> bool:
    task = asyncio.create_task(work, name="main")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return True
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    return False
