"""The service that a command talks to: one that runs, else one opened in this process."""

import contextlib
import json
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec

from api import settings
from api.cli import client, failure, output

INSTANCE = "X-Vecmark-Instance"
ANNOUNCEMENT = "service.json"
# The service runs on this machine or is named by the user; an answer takes milliseconds.
PROBE_TIMEOUT_S = 2


@contextlib.asynccontextmanager
async def open_service(
    chosen: settings.Settings, *, works: bool = False
) -> AsyncIterator[client.Service]:
    """The running service, else the store itself served on a private socket by this process.

    That one builds indexes and works on migrations only where the command `works`.
    """
    url = await running(chosen)
    if url is not None:
        async with client.open_http(url) as service:
            yield service
        return
    async with _own(_modest(chosen, works=works)) as service:
        yield service


async def running(chosen: settings.Settings) -> str | None:
    """The address of a service on this store. Failure where the one named by `url` is silent."""
    if chosen.url is not None:
        url = chosen.url.rstrip("/")
        if await _instance(url) is None:
            raise failure.Failure(f"no Vecmark answers at {url} (--url, VECMARK_URL)")
        return url
    announced = _announced(chosen.data_dir)
    if announced is not None:
        url, instance, store = announced
        # A service of this data directory may use another database than the one named here.
        if chosen.database_url is not None and store is not None and store != chosen.store:
            return None
        return url if await _instance(url) == instance else None
    # A store that was named is never taken for the one of whatever listens on the port.
    named = chosen.data_dir != settings.Settings().data_dir or chosen.database_url is not None
    url = f"http://127.0.0.1:{chosen.port}"
    return url if not named and await _instance(url) is not None else None


def _announced(data_dir: Path) -> tuple[str, str, str | None] | None:
    try:
        found = json.loads((data_dir / ANNOUNCEMENT).read_text())
        return str(found["url"]), str(found["instance"]), found.get("store")
    except (OSError, ValueError, KeyError, TypeError):
        return None


async def _instance(url: str) -> str | None:
    async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_S, trust_env=False) as http:
        try:
            response = await http.get(f"{url}/healthz")
        except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol):
            return None
    return str(response.headers[INSTANCE]) if INSTANCE in response.headers else None


@contextlib.asynccontextmanager
async def _own(chosen: settings.Settings) -> AsyncIterator[client.Service]:
    from api import app
    from api.cli import server

    application = app.create_app(chosen, announce=_step, public=False)
    # mkdtemp makes it 0700: nobody else can connect.
    with tempfile.TemporaryDirectory(prefix="vecmark-") as folder:
        path = Path(folder) / "http.sock"
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen()
        listening.setblocking(False)
        with listening:
            async with (
                application.lifespan(),
                server.serving(application, listening),
                client.open_http("http://vecmark", path) as service,
            ):
                yield service


def _modest(chosen: settings.Settings, *, works: bool) -> settings.Settings:
    """Its log would stand among what a command prints; problems are answers of the service."""
    level = "error" if chosen.log_level == "info" else chosen.log_level
    return msgspec.structs.replace(chosen, worker=works, log_level=level)


def _step(step: str) -> None:
    if sys.stderr.isatty():
        output.line(step, err=True)
