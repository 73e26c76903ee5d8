import asyncio
import importlib
import os
import socket
import time
from typing import TYPE_CHECKING, Any

import click

from api import settings
from api.cli import flags, output, ports

if TYPE_CHECKING:
    from api.cli import client


@click.command()
@flags.options(flags.SERVE)
@click.option("--sample", is_flag=True, help="Index the sample documents first, if not there yet.")
def serve(sample: bool, **given: Any) -> None:
    """Run the service until it is interrupted."""
    chosen = flags.load(given)
    with ports.claim(chosen.host, chosen.port) as listening:
        from api.cli import signals

        try:
            signals.run(_serve(chosen, listening, sample=sample))
        except signals.Interrupted:
            output.line("Vecmark has stopped.", err=True)


async def _serve(chosen: settings.Settings, listening: socket.socket, *, sample: bool) -> None:
    announce = _announce(time.monotonic())
    from api import model_settings
    from embedding import loading as model_loading

    # Begun first: most of it runs outside Python while the rest of the program is imported.
    loading = model_loading.begin_loading(model_settings.from_settings(chosen))
    from api import app

    application = app.create_app(chosen, announce=announce, loading=loading)
    # Imported while the model is loaded: 0.25 s that a start need not wait for.
    importing = asyncio.create_task(asyncio.to_thread(_import_rest), name="imports")
    async with application.lifespan():
        await importing
        from api.cli import client, server

        async with server.serving(application, listening) as task:
            try:
                async with client.open_http(chosen.local_url) as service:
                    await _say_ready(service, chosen)
                    if sample:
                        await _show_sample(service)
                await asyncio.wait({task})
                task.result()
            finally:
                application.state.service.stopping.set()


async def _show_sample(service: "client.ServiceClient") -> None:
    """The service goes on without: the sample's model may be gone, say."""
    from api.cli import errors, samples

    try:
        await samples.show_sample(service)
    except errors.Failure as error:
        output.line(f"The sample is not there: {error.message}", err=True)


def _import_rest() -> None:
    for name in ("api.cli.samples", "api.cli.server"):
        importlib.import_module(name)


def _announce(started: float) -> Any:
    def announce(step: str) -> None:
        output.line(f"{time.monotonic() - started:6.1f} s  {step}", err=True)

    return announce


async def _say_ready(service: Any, chosen: settings.Settings) -> None:
    problems = (await service.request("GET", "/v1/models"))["problems"]
    for name, reason in problems.items():
        output.line(f"Warning: the model {name} cannot be used: {reason}", err=True)
    collections = await service.collections()
    documents = sum(collection["documents"] for collection in collections)
    content = output.count(documents, "document")
    if len(collections) == 1:
        content = f"collection {collections[0]['name']}: {content}"
    elif collections:
        content = f"{output.count(len(collections), 'collection')}: {content}"
    else:
        content = "no collection yet"
    output.line(f"Vecmark is ready on {chosen.local_url}  ({content})")


_LOWEST_PRIORITY = 19


@click.command()
@flags.options(flags.WORKER)
def worker(**given: Any) -> None:
    """Work on migrations and on what waits to be embedded, until it is interrupted.

    Any number of workers share the work, beside `vecmark serve --no-worker` or not.
    """
    chosen = flags.load(given)
    from api.cli import signals

    try:
        signals.run(_work(chosen))
    except signals.Interrupted:
        output.line("The worker has stopped.", err=True)


async def _work(chosen: settings.Settings) -> None:
    started = time.monotonic()

    def announce(step: str) -> None:
        output.line(f"{time.monotonic() - started:6.1f} s  {step}", err=True)

    from api import lifespan, logs

    logs.configure(chosen.log_level)
    async with lifespan.open_service(chosen, announce, loading=None, serves=False) as service:
        # Not before: a PostgreSQL started here serves everybody. Nothing of a worker is urgent.
        os.nice(_LOWEST_PRIORITY)
        output.line(f"The worker {service.replica.name} is ready.")
        await asyncio.Event().wait()
