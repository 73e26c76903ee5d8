import asyncio
import os
import time
from typing import Any

import click

from api import settings
from api.cli import flags, output

_LOWEST_PRIORITY = 19


@click.command()
@flags.options(flags.WORKER)
def worker(**given: Any) -> None:
    """Work on migrations and on what waits to be embedded, until it is interrupted.

    Any number of workers share the work, beside `vecmark serve --no-worker` or not.
    """
    chosen = flags.load(given)
    from api.cli import interruption

    try:
        interruption.run(_work(chosen))
    except interruption.Interrupted:
        output.line("The worker has stopped.", err=True)


async def _work(chosen: settings.Settings) -> None:
    started = time.monotonic()

    def announce(step: str) -> None:
        output.line(f"{time.monotonic() - started:6.1f} s  {step}", err=True)

    from api import lifespan, logs

    logs.configure(chosen.log_level)
    async with lifespan.parts(chosen, announce, loading=None, serves=False) as service:
        # Not before: a PostgreSQL started here serves everybody. Nothing of a worker is urgent.
        os.nice(_LOWEST_PRIORITY)
        output.line(f"The worker {service.presence.name} is ready.")
        await asyncio.Event().wait()
