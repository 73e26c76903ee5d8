"""One NDJSON request whose answers are read while it is still being sent.

httpx sends the whole body before it reads, so its progress bar would show what was sent, not
what was acknowledged.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any
from urllib.parse import urlsplit

import h11

from api.cli import client, failure

READ_BYTES = 65_536
# Lines are sent together: one write each costs more than the line.
SEND_BYTES = 65_536


async def post(
    service: client.Service, path: str, lines: Iterable[bytes]
) -> AsyncIterator[dict[str, Any]]:
    """The answer's lines as they come. Failure where the request is refused or breaks off."""
    try:
        reader, writer = await _connect(service)
    except OSError as error:
        raise client.unreachable(service.url, error) from error
    connection = h11.Connection(our_role=h11.CLIENT)
    sending = asyncio.create_task(
        _send(connection, writer, service.url, path, lines), name="ndjson upload"
    )

    def hang_up(_: object) -> None:
        # The service would wait for the rest of the body, and we for its answer.
        if _input_error(sending) is not None:
            writer.transport.abort()

    sending.add_done_callback(hang_up)
    try:
        async for line in _lines(connection, reader):
            yield line
        # Done before it is awaited, unless the service answered without reading everything.
        if sending.done():
            sending.result()
    except (h11.RemoteProtocolError, ConnectionError) as error:
        if (own := _input_error(sending)) is not None:
            raise own from None
        raise failure.Failure(
            "the service went away before it had answered everything. Documents that were "
            "acknowledged are kept: run the command again for the rest"
        ) from error
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await sending
        writer.close()


def _input_error(sending: "asyncio.Task[None]") -> BaseException | None:
    """Why the lines couldn't be sent to their end, unless it is the connection's fault."""
    if not sending.done() or sending.cancelled():
        return None
    error = sending.exception()
    return None if isinstance(error, ConnectionError) else error


async def _connect(service: client.Service) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if service.socket is not None:
        return await asyncio.open_unix_connection(service.socket)
    url = urlsplit(service.url)
    secure = url.scheme == "https"
    port = url.port or (443 if secure else 80)
    return await asyncio.open_connection(url.hostname, port, ssl=secure or None)


async def _send(
    connection: h11.Connection,
    writer: asyncio.StreamWriter,
    url: str,
    path: str,
    lines: Iterable[bytes],
) -> None:
    base = urlsplit(url)
    request = h11.Request(
        method="POST",
        target=base.path.rstrip("/") + path,
        headers=[
            ("host", base.netloc),
            ("content-type", "application/x-ndjson"),
            ("accept", "application/x-ndjson"),
            ("transfer-encoding", "chunked"),
        ],
    )
    writer.write(connection.send(request) or b"")
    pending = bytearray()
    for line in lines:
        pending += line + b"\n"
        if len(pending) >= SEND_BYTES:
            writer.write(connection.send(h11.Data(bytes(pending))) or b"")
            pending.clear()
            await writer.drain()
    if pending:
        writer.write(connection.send(h11.Data(bytes(pending))) or b"")
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    await writer.drain()


async def _lines(
    connection: h11.Connection, reader: asyncio.StreamReader
) -> AsyncIterator[dict[str, Any]]:
    response: h11.Response | None = None
    buffer = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(READ_BYTES))
        elif isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.Data):
            buffer += event.data
            if response is not None and response.status_code == 200:
                *whole, rest = bytes(buffer).split(b"\n")
                buffer = bytearray(rest)
                for line in whole:
                    yield _result(line)
        elif isinstance(event, h11.EndOfMessage):
            break
        elif isinstance(event, h11.ConnectionClosed):
            raise ConnectionResetError("the connection was closed")
    if response is not None and response.status_code != 200:
        raise failure.from_problem(response.status_code, _problem(bytes(buffer)))
    if buffer.strip():
        yield _result(bytes(buffer))


def _result(line: bytes) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(line)
    if "error" in result:
        raise failure.from_problem(500, result["error"])
    return result


def _problem(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None
