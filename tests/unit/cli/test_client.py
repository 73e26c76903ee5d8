"""How a command finds a service and reads its answers."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from api import settings
from api.cli import client, errors, output

ELSEWHERE = "postgresql://db.example.com/vecmark"


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A service that says which instance it is, and nothing else."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nX-Vecmark-Instance: one\r\n"
            b"Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
        await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1")
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def announce(data_dir: Path, url: str, **more: Any) -> None:
    (data_dir / client.ANNOUNCEMENT).write_text(json.dumps({"url": url, "instance": "one"} | more))


def settings_for(data_dir: Path, database_url: str | None = None) -> settings.Settings:
    return settings.Settings(data_dir=data_dir, database_url=database_url)


async def test_a_database_that_is_named_is_never_that_of_a_service_on_another(tmp_path, url):
    announce(tmp_path, url, store=settings_for(tmp_path).store)
    assert await client.find_running(settings_for(tmp_path, ELSEWHERE)) is None


@pytest.mark.parametrize("database_url", [None, ELSEWHERE])
async def test_a_service_on_the_store_in_question_is_found(tmp_path, url, database_url):
    announce(tmp_path, url, store=settings_for(tmp_path, database_url).store)
    assert await client.find_running(settings_for(tmp_path, database_url)) == url


async def test_a_data_directory_alone_finds_its_service_whatever_database_that_has(tmp_path, url):
    announce(tmp_path, url, store=settings_for(tmp_path, ELSEWHERE).store)
    assert await client.find_running(settings_for(tmp_path)) == url


async def test_a_stale_announcement_finds_nothing(tmp_path, url):
    announce(tmp_path, url, instance="two")
    assert await client.find_running(settings_for(tmp_path)) is None


class Small(msgspec.Struct):
    name: str


def test_fields_of_a_newer_service_are_ignored_and_printed(capsys):
    content = b'{"name": "a", "news": [1.50, null], "text": "\xc3\xa9"}'
    answer = unconnected().decode(content, Small)
    assert answer.value == Small("a")
    output.raw_json(answer.content)
    assert json.loads(capsys.readouterr().out) == json.loads(content)


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (b'{"name": 1}', errors.Failure, "use the same version of Vecmark"),
        (b"<html>", errors.Unavailable, "not JSON"),
        (b'{"name": "\xff"}', errors.Unavailable, "not JSON"),
    ],
)
def test_an_answer_that_can_not_be_read_is_a_failure(content, kind, message):
    with pytest.raises(errors.Failure, match=message) as caught:
        unconnected().decode(content, Small)
    assert type(caught.value) is kind


def unconnected() -> client.ServiceClient:
    return client.ServiceClient(httpx.AsyncClient(), "http://127.0.0.1:1")
