"""The HTTP API as the commands use it: finds or opens a service, sends, and reads its answers."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from api.cli import errors
from api.schemas import collections as collection_schemas
from api.settings import Settings

# A search may wait for the model to load; a document of 4,000,000 characters takes minutes.
TIMEOUT = httpx.Timeout(300, connect=5)

Value = TypeVar("Value")


@dataclass(frozen=True)
class Answer(Generic[Value]):
    """What the service answered: `value` to display, `content` exactly as it was sent."""

    value: Value
    content: bytes


class _Page(msgspec.Struct, frozen=True):
    items: list[msgspec.Raw]
    next_cursor: str | None = None


@dataclass(frozen=True)
class ServiceClient:
    """A running service; `socket`: the unix socket of a service that this process runs itself."""

    http: httpx.AsyncClient
    url: str
    socket: Path | None = None

    async def fetch(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """The response, whatever its status. Raises Unavailable."""
        try:
            return await self.http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error

    async def send(self, method: str, path: str, **arguments: Any) -> bytes:
        """The content of a successful response. Raises Unavailable, Failure with the problem."""
        response = await self.fetch(method, path, **arguments)
        if response.is_error:
            raise errors.from_problem(response.status_code, response.content)
        return response.content

    async def request(
        self, method: str, path: str, kind: type[Value], **arguments: Any
    ) -> Answer[Value]:
        """The answer, read as `kind`. Raises as `send` and `decode` do."""
        return self.decode(await self.send(method, path, **arguments), kind)

    def decode(self, content: bytes, kind: type[Value]) -> Answer[Value]:
        """Read an answer. Raises Unavailable if it isn't JSON, Failure if it isn't a `kind`."""
        try:
            return Answer(msgspec.json.decode(content, type=kind), content)
        except msgspec.ValidationError as error:
            raise errors.Failure(
                f"can't read the answer of the service at {self.url} ({error}); use the same "
                "version of Vecmark for the service and this command"
            ) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            reason = "its answer is not JSON"
            message = f"the service at {self.url} can't be used: {reason}"
            raise errors.Unavailable(message, reason) from error

    async def items(self, path: str, kind: type[Value]) -> list[Answer[Value]]:
        """Every item of a paginated list."""
        items: list[Answer[Value]] = []
        query: dict[str, str] = {}
        while True:
            page = (await self.request("GET", path, _Page, params=query)).value
            items += [self.decode(bytes(item), kind) for item in page.items]
            if page.next_cursor is None:
                return items
            query = {"cursor": page.next_cursor}

    async def find(self, path: str, kind: type[Value]) -> Answer[Value] | None:
        """The answer of a GET, or None for a 404."""
        response = await self.fetch("GET", path)
        if response.status_code == 404:
            return None
        if response.is_error:
            raise errors.from_problem(response.status_code, response.content)
        return self.decode(response.content, kind)

    async def collections(self) -> list[Answer[collection_schemas.Collection]]:
        return await self.items("/v1/collections", collection_schemas.Collection)

    async def collection(self, name: str) -> Answer[collection_schemas.Collection] | None:
        return await self.find(collection_path(name), collection_schemas.Collection)

    async def create_collection(self, body: dict[str, Any]) -> collection_schemas.Collection:
        kind = collection_schemas.Collection
        return (await self.request("POST", "/v1/collections", kind, json=body)).value


@contextlib.asynccontextmanager
async def connect(url: str, socket: Path | None = None) -> AsyncIterator[ServiceClient]:
    """A client of the service at `url`."""
    # An explicit transport: the environment's proxies don't apply to a local service.
    transport = httpx.AsyncHTTPTransport(uds=str(socket) if socket else None)
    async with httpx.AsyncClient(base_url=url, transport=transport, timeout=TIMEOUT) as http:
        yield ServiceClient(http, url, socket)


def collection_path(name: str) -> str:
    return f"/v1/collections/{quote(name, safe='')}"


def unreachable(url: str, error: Exception) -> errors.Unavailable:
    reason = str(error) or type(error).__name__
    return errors.Unavailable(
        f"the service at {url} doesn't answer ({reason}); start it with `vecmark serve`", reason
    )


INSTANCE = "X-Vecmark-Instance"
ANNOUNCEMENT = "service.json"
# The service runs on this machine or is named by the user; an answer takes milliseconds.
PROBE_TIMEOUT_S = 2


@contextlib.asynccontextmanager
async def open_service(settings: Settings, *, works: bool = False) -> AsyncIterator[ServiceClient]:
    """The running service; if there is none, one on a private socket, run by this process.

    Such a private service builds indexes and runs migrations only if the command `works`.
    """
    url = await find_running(settings)
    if url is not None:
        async with connect(url) as service:
            yield service
        return
    # The whole service takes over a second to import, and most commands find one running.
    from api.cli import private_service  # noqa: PLC0415 - see above

    async with (
        private_service.run(settings, works=works) as socket,
        connect("http://vecmark", socket) as service,
    ):
        yield service


async def find_running(settings: Settings) -> str | None:
    """The address of a service on this store. Raises Failure if the one at `url` is silent."""
    if settings.url is not None:
        url = settings.url.rstrip("/")
        if await _instance(url) is None:
            raise errors.Failure(f"no Vecmark service answers at {url} (--url, VECMARK_URL)")
        return url
    announced = _read_announcement(settings.data_dir)
    if announced is not None:
        # A service of this data directory may use another database than the one named here.
        store = announced.store
        if settings.database_url is not None and store is not None and store != settings.store:
            return None
        is_running = await _instance(announced.url) == announced.instance
        return announced.url if is_running else None
    # If a store is named, whatever listens on the port is never taken for its service.
    is_named = settings.data_dir != Settings().data_dir or settings.database_url is not None
    url = f"http://127.0.0.1:{settings.port}"
    return url if not is_named and await _instance(url) is not None else None


class _Announcement(msgspec.Struct, frozen=True):
    """What a running service writes into its data directory."""

    url: str
    instance: str
    store: str | None = None


def _read_announcement(data_dir: Path) -> _Announcement | None:
    try:
        content = (data_dir / ANNOUNCEMENT).read_bytes()
        return msgspec.json.decode(content, type=_Announcement)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


async def _instance(url: str) -> str | None:
    """Which instance of the service answers at `url`, if one does."""
    async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_S, trust_env=False) as http:
        try:
            response = await http.get(f"{url}/healthz")
        except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol):
            return None
    return str(response.headers[INSTANCE]) if INSTANCE in response.headers else None
