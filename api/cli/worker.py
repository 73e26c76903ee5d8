"""`vecmark worker`: migrations and pending embeddings, without an HTTP server."""

import asyncio
import os
from typing import Any

import click

from api.cli import flags, output, signals
from api.settings import Settings

_LOWEST_PRIORITY = 19


@click.command()
@flags.options(flags.WORKER)
def worker(**flag_values: Any) -> None:
    """Run a worker for migrations and pending embeddings.

    Any number of workers share the work, whether or not the services run with `--no-worker`.
    """
    settings = flags.load(flag_values)
    try:
        signals.run(_work(settings))
    except signals.Interrupted:
        output.line("The worker has stopped.", err=True)


async def _work(settings: Settings) -> None:
    announce = output.start_clock()
    # Only here, where a signal ends the start cleanly and wrong flags have been refused: 2 s.
    from api import lifespan, logs  # noqa: PLC0415

    logs.configure(settings.log_level)
    async with lifespan.open_service(settings, announce, loading=None, serves=False) as service:
        # Only now: a PostgreSQL started here serves everybody. None of a worker's work is urgent.
        os.nice(_LOWEST_PRIORITY)
        output.line(f"The worker {service.replica.name} is ready.")
        await asyncio.Event().wait()
