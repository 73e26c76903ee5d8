"""Records into a collection: one stream, with every record accounted for."""

import asyncio
import collections
import contextlib
import json
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import h11
import msgspec

from api.cli import client, errors, formats, output, progress
from api.schemas import documents as document_schemas

EXAMPLES = 10
DONE = ("created", "updated", "unchanged", "superseded")


@dataclass
class Tally:
    """Counts of the records by outcome; the first failures and warnings with their places."""

    statuses: collections.Counter[str] = field(default_factory=collections.Counter)
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return self.statuses["failed"]

    def fail(self, place: str, reason: str) -> None:
        self.statuses["failed"] += 1
        if len(self.failures) < EXAMPLES:
            self.failures.append(f"{place}: {reason}")

    def warn(self, place: str, warning: str) -> None:
        self.statuses["warnings"] += 1
        if len(self.warnings) < EXAMPLES:
            self.warnings.append(f"{place}: {warning}")

    def add(self, place: str, result: document_schemas.DocumentResult) -> None:
        if result.status == "failed":
            self.fail(place, result.detail or result.reason or "failed")
            return
        self.statuses[result.status] += 1
        for warning in result.warnings:
            self.warn(place, warning)
        if result.cut:
            reason = "the text is longer than the model's limit: only its beginning was embedded"
            self.warn(place, reason)


async def upload(
    service: client.ServiceClient,
    collection: str,
    records: Iterable[formats.InputRecord],
    bar: progress.Progress,
) -> Tally:
    """Send every record and count the answers. Raises Failure if the stream breaks off."""
    tally = Tally()
    places: collections.deque[str] = collections.deque()
    path = f"{client.collection_path(collection)}/documents"
    with bar:
        async for result in post(service, path, _lines(records, places, tally, bar)):
            tally.add(places.popleft(), result)
            bar.advance()
    if places:
        raise errors.Failure(
            f"the service answered only up to {places[0]}; run the command again for the rest"
        )
    return tally


def _lines(
    records: Iterable[formats.InputRecord],
    places: "collections.deque[str]",
    tally: Tally,
    bar: progress.Progress,
) -> Iterator[bytes]:
    for record in records:
        if record.document is None:
            tally.fail(record.place, record.error or "no document")
            bar.advance()
        else:
            places.append(record.place)
            yield json.dumps(record.document, ensure_ascii=False).encode()


def report(tally: Tally, seconds: float) -> None:
    """The summary on standard output, failures and warnings on standard error."""
    counts = [f"{tally.statuses[status]:,} {status}" for status in DONE if tally.statuses[status]]
    counts += [f"{tally.failed:,} failed"]
    total = sum(tally.statuses[status] for status in (*DONE, "failed"))
    rate = f", {output.rate(total / seconds)}" if seconds > 0 else ""
    output.line(f"{', '.join(counts)}  ({output.seconds(seconds)}{rate})")
    _list("Warning", tally.warnings, tally.statuses["warnings"])
    _list("Failed", tally.failures, tally.failed)


def _list(title: str, examples: list[str], total: int) -> None:
    for line in examples:
        output.line(f"{title}: {line}", err=True)
    if total > len(examples):
        output.line(f"{title}: ... and {total - len(examples):,} more", err=True)


READ_BYTES = 65_536
# Lines are sent together: a write for each costs more than the line.
SEND_BYTES = 65_536


async def post(
    service: client.ServiceClient, path: str, lines: Iterable[bytes]
) -> AsyncIterator[document_schemas.DocumentResult]:
    """The result of each document as it arrives, over a separate connection.

    httpx can't read an answer while it sends. Raises Failure if the request is refused or breaks
    off.
    """
    try:
        reader, writer = await _connect(service)
    except OSError as error:
        raise client.unreachable(service.url, error) from error
    connection = h11.Connection(our_role=h11.CLIENT)
    sending = _start_sending(_send_lines(connection, writer, service.url, path, lines), writer)
    try:
        async for line in _read_lines(connection, reader):
            if (result := _result(service, line)) is not None:
                yield result
        # Done before it is awaited, unless the service answered without reading everything.
        if sending.done():
            sending.result()
    except (h11.RemoteProtocolError, ConnectionError) as error:
        if (input_error := _input_error(sending)) is not None:
            raise input_error from None
        raise errors.Failure(
            "the service went away before it had answered everything. Acknowledged documents "
            "are kept: run the command again for the rest"
        ) from error
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await sending
        writer.close()


def _start_sending(
    work: Coroutine[None, None, None], writer: asyncio.StreamWriter
) -> "asyncio.Task[None]":
    """Send while another task reads; hangs up if the input breaks off."""
    sending = asyncio.create_task(work, name="ndjson upload")

    def hang_up(_: object) -> None:
        # Otherwise the service waits for the rest of the body, and we wait for its answer.
        if _input_error(sending) is not None:
            writer.transport.abort()

    sending.add_done_callback(hang_up)
    return sending


def _input_error(sending: "asyncio.Task[None]") -> BaseException | None:
    """Why not all lines could be sent, unless it is the connection's fault."""
    if not sending.done() or sending.cancelled():
        return None
    error = sending.exception()
    return None if isinstance(error, ConnectionError) else error


async def _connect(
    service: client.ServiceClient,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if service.socket is not None:
        return await asyncio.open_unix_connection(service.socket)
    url = urlsplit(service.url)
    secure = url.scheme == "https"
    port = url.port or (443 if secure else 80)
    return await asyncio.open_connection(url.hostname, port, ssl=secure or None)


async def _send_lines(
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


async def _read_lines(
    connection: h11.Connection, reader: asyncio.StreamReader
) -> AsyncIterator[bytes]:
    """The lines of the answer. Raises Failure with the problem of another status than 200."""
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
                *complete, rest = bytes(buffer).split(b"\n")
                buffer = bytearray(rest)
                for line in complete:
                    yield line
        elif isinstance(event, h11.EndOfMessage):
            break
        elif isinstance(event, h11.ConnectionClosed):
            raise ConnectionResetError("the connection was closed")
    if response is not None and response.status_code != 200:
        raise errors.from_problem(response.status_code, bytes(buffer))
    if buffer.strip():
        yield bytes(buffer)


class _Line(msgspec.Struct, frozen=True):
    """What kind of line it is: a result, the problem that ended the stream, or its summary."""

    status: str | None = None
    error: msgspec.Raw | None = None


def _result(service: client.ServiceClient, line: bytes) -> document_schemas.DocumentResult | None:
    """The result in a line, None for the summary. Raises Failure with the stream's problem."""
    kind = service.decode(line, _Line).value
    if kind.error is not None:
        raise errors.from_problem(500, bytes(kind.error))
    if kind.status is None:
        return None
    return service.decode(line, document_schemas.DocumentResult).value
