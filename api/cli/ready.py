"""What `vecmark serve` does once its app is open: serve, say that it is ready, show the sample."""

import asyncio
import socket

from litestar import Litestar

from api.cli import client, errors, output, samples, server
from api.schemas import models as model_schemas
from api.settings import Settings


async def serve_requests(
    application: Litestar, listening: socket.socket, settings: Settings, *, sample: bool
) -> None:
    """Serve until the server ends or the task is cancelled; the app's lifespan is open."""
    async with server.serving(application, listening) as task:
        try:
            async with client.connect(settings.local_url) as service:
                await _report_ready(service, settings)
                if sample:
                    await _show_sample(service)
            await asyncio.wait({task})
            task.result()
        finally:
            application.state.service.stopping.set()


async def _report_ready(service: client.ServiceClient, settings: Settings) -> None:
    models = (await service.request("GET", "/v1/models", model_schemas.ModelList)).value
    for name, reason in models.problems.items():
        output.line(f"Warning: the model {name} can't be used: {reason}", err=True)
    collections = [answer.value for answer in await service.collections()]
    documents = output.count(sum(item.documents for item in collections), "document")
    content = f"{output.count(len(collections), 'collection')}: {documents}"
    if not collections:
        content = "no collections yet"
    elif len(collections) == 1:
        content = f"collection {collections[0].name}: {documents}"
    output.line(f"Vecmark is ready on {settings.local_url}  ({content})")


async def _show_sample(service: client.ServiceClient) -> None:
    """If this fails, for example because the model is gone, the service keeps running."""
    try:
        await samples.show_sample(service)
    except errors.Failure as error:
        output.line(f"Could not add the sample documents: {error.message}", err=True)
