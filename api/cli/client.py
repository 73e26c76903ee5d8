"""The HTTP API as the commands use it, over TCP or over a unix socket."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from api.cli import failure

# A search may wait for the model; a document of 4,000,000 characters takes minutes.
TIMEOUT = httpx.Timeout(300, connect=5)


@dataclass(frozen=True)
class Service:
    """A running service; `socket` where it listens on a unix socket of this process's own."""

    http: httpx.AsyncClient
    url: str
    socket: Path | None = None

    async def request(self, method: str, path: str, **arguments: Any) -> Any:
        """The answer's JSON, None for an empty one; Failure with the problem's message."""
        response = await self._answer(method, path, **arguments)
        if response.is_error:
            raise failure.from_problem(response.status_code, _json(response))
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
            raise failure.from_problem(response.status_code, _json(response))
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
async def open_http(url: str, socket: Path | None = None) -> AsyncIterator[Service]:
    # The environment's proxies are not for a service that runs beside us.
    transport = httpx.AsyncHTTPTransport(uds=str(socket) if socket else None)
    async with httpx.AsyncClient(base_url=url, transport=transport, timeout=TIMEOUT) as http:
        yield Service(http, url, socket)


def collection_path(name: str) -> str:
    return f"/v1/collections/{quote(name, safe='')}"


def unreachable(url: str, error: Exception) -> failure.Failure:
    reason = str(error) or type(error).__name__
    return failure.Failure(
        f"the service at {url} doesn't answer ({reason}); start it by `vecmark serve`"
    )


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None
