"""`vecmark serve`: the service, started in the order that makes it ready soonest."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import click

from api.cli import flags, output, ports, signals
from api.settings import Settings


@click.command()
@flags.options(flags.SERVE)
@click.option("--sample", is_flag=True, help="Add the sample documents first, if missing.")
def serve(sample: bool, **flag_values: Any) -> None:
    """Run the service until it is interrupted."""
    settings = flags.load(flag_values)
    with ports.claim(settings.host, settings.port) as listening:
        try:
            signals.run(_serve(settings, listening, sample=sample))
        except signals.Interrupted:
            output.line("Vecmark has stopped.", err=True)


async def _serve(settings: Settings, listening: socket.socket, *, sample: bool) -> None:
    announce = output.start_clock()
    # Only here, where a signal ends the start cleanly and wrong flags have been refused: 0.8 s.
    from api import model_settings  # noqa: PLC0415
    from embedding import loading as model_loading  # noqa: PLC0415

    loading = None
    if settings.database_url is None:
        # Started first: most of it runs outside Python while the rest of the program is imported.
        # Not with a server's database, which may refuse the start within milliseconds: native
        # threads that are still loading then abort the process (exit code 134 in 2 of 6 runs).
        loading = model_loading.begin_loading(model_settings.from_settings(settings))
    from api import app  # noqa: PLC0415 - it takes a second, while the model is loading

    application = app.create_app(settings, announce=announce, loading=loading)
    # Imported while the model is loading: 0.25 s that a start need not wait for.
    importing = asyncio.create_task(asyncio.to_thread(_import_rest), name="imports")
    async with application.lifespan():
        serve_requests = await importing
        await serve_requests(application, listening, settings, sample=sample)


def _import_rest() -> Callable[..., Awaitable[None]]:
    from api.cli import ready  # noqa: PLC0415 - while the model is loading

    return ready.serve_requests
