"""The upload stream against services that break off."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.cli import client, errors, formats, upload
from api.schemas.documents import DocumentResult

# Far longer than any of these takes: what hangs fails instead of stopping the suite.
HANGS_S = 20
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
)


@contextlib.asynccontextmanager
async def service(answer: bytes, *, close: bool = False) -> AsyncIterator[client.ServiceClient]:
    """A service that answers as told once a request begins, then reads on for ever or closes."""

    serving: list[asyncio.Task[Any] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            while not close and await reader.read(65_536):
                pass
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1")
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with client.connect(url) as connected:
            yield connected
        await asyncio.gather(*(task for task in serving if task is not None))


async def post(connected: client.ServiceClient, lines: Iterable[bytes]) -> list[DocumentResult]:
    async with asyncio.timeout(HANGS_S):
        return [line async for line in upload.post(connected, "/documents", lines)]


def broken(error: Exception, after: int) -> Iterator[bytes]:
    for _ in range(after):
        yield b'{"text": "one"}'
    raise error


@pytest.mark.parametrize("after", [0, 20_000])
@pytest.mark.parametrize("answer", [b"", HEAD], ids=["no answer yet", "an answer begun"])
async def test_an_unreadable_input_ends_the_request_and_is_reported(answer, after):
    async with service(answer) as connected:
        with pytest.raises(errors.Failure, match="row 7 is broken"):
            await post(connected, broken(errors.Failure("row 7 is broken"), after))


async def test_a_file_that_is_gone_is_named(tmp_path: Path):
    records = formats.read(tmp_path / "gone.jsonl", "gone.jsonl", formats.Fields())
    async with service(HEAD) as connected:
        with pytest.raises(errors.Failure, match=r"gone\.jsonl: No such file"):
            await post(connected, (b"{}" for _ in records))


async def test_a_service_that_goes_away_is_reported():
    async with service(HEAD, close=True) as connected:
        with pytest.raises(errors.Failure, match="went away"):
            await post(connected, (b'{"text": "one"}' for _ in range(500_000)))


async def test_a_refusal_is_reported_even_if_the_input_goes_on():
    body = b'{"detail": "no such collection"}'
    answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    async with service(answer) as connected:
        with pytest.raises(errors.Failure, match="no such collection"):
            await post(connected, (b'{"text": "one"}' for _ in range(500_000)))
