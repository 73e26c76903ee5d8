"""The HTTP API as the commands use it, over TCP or over a unix socket."""

import contextlib
import json
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from api import settings
from api.cli import errors, output

# A search may wait for the model; a document of 4,000,000 characters takes minutes.
TIMEOUT = httpx.Timeout(300, connect=5)


@dataclass(frozen=True)
class ServiceClient:
    """A running service; `socket` where it listens on a unix socket of this process's own."""

    http: httpx.AsyncClient
    url: str
    socket: Path | None = None

    async def request(self, method: str, path: str, **arguments: Any) -> Any:
        """The answer's JSON, None for an empty one; Failure with the problem's message."""
        response = await self._answer(method, path, **arguments)
        if response.is_error:
            raise errors.from_problem(response.status_code, _json(response))
        return _json(response) if response.content else None

    async def collection(self, name: str) -> dict[str, Any] | None:
        """A collection's description, or None where there is no such collection."""
        return await self._found(collection_path(name))

    async def has_document(self, collection: str, document: str) -> bool:
        path = f"{collection_path(collection)}/documents/{quote(document, safe='')}"
        return await self._found(path) is not None

    async def collections(self) -> list[dict[str, Any]]:
        return await self._all("/v1/collections")

    async def _found(self, path: str) -> dict[str, Any] | None:
        response = await self._answer("GET", path)
        if response.status_code == 404:
            return None
        if response.is_error:
            raise errors.from_problem(response.status_code, _json(response))
        found: dict[str, Any] = response.json()
        return found

    async def _answer(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            return await self.http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error

    async def _all(self, path: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            query = {"limit": "100"} | ({"cursor": cursor} if cursor else {})
            page = await self.request("GET", path, params=query)
            items += page["items"]
            if (cursor := page.get("next_cursor")) is None:
                return items


@contextlib.asynccontextmanager
async def open_http(url: str, socket: Path | None = None) -> AsyncIterator[ServiceClient]:
    # The environment's proxies are not for a service that runs beside us.
    transport = httpx.AsyncHTTPTransport(uds=str(socket) if socket else None)
    async with httpx.AsyncClient(base_url=url, transport=transport, timeout=TIMEOUT) as http:
        yield ServiceClient(http, url, socket)


def collection_path(name: str) -> str:
    return f"/v1/collections/{quote(name, safe='')}"


def unreachable(url: str, error: Exception) -> errors.Failure:
    reason = str(error) or type(error).__name__
    return errors.Failure(
        f"the service at {url} doesn't answer ({reason}); start it by `vecmark serve`"
    )


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None


INSTANCE = "X-Vecmark-Instance"
ANNOUNCEMENT = "service.json"
# The service runs on this machine or is named by the user; an answer takes milliseconds.
PROBE_TIMEOUT_S = 2


@contextlib.asynccontextmanager
async def open_service(
    chosen: settings.Settings, *, works: bool = False
) -> AsyncIterator[ServiceClient]:
    """The running service, else the store itself served on a private socket by this process.

    That one builds indexes and works on migrations only where the command `works`.
    """
    url = await running(chosen)
    if url is not None:
        async with open_http(url) as service:
            yield service
        return
    async with _own(_modest(chosen, works=works)) as service:
        yield service


async def running(chosen: settings.Settings) -> str | None:
    """The address of a service on this store. Failure where the one named by `url` is silent."""
    if chosen.url is not None:
        url = chosen.url.rstrip("/")
        if await _instance(url) is None:
            raise errors.Failure(f"no Vecmark answers at {url} (--url, VECMARK_URL)")
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
async def _own(chosen: settings.Settings) -> AsyncIterator[ServiceClient]:
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
                open_http("http://vecmark", path) as service,
            ):
                yield service


def _modest(chosen: settings.Settings, *, works: bool) -> settings.Settings:
    """Its log would stand among what a command prints; problems are answers of the service."""
    level = "error" if chosen.log_level == "info" else chosen.log_level
    return msgspec.structs.replace(chosen, worker=works, log_level=level)


def _step(step: str) -> None:
    if sys.stderr.isatty():
        output.line(step, err=True)
