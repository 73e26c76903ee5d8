"""The examples do what docs/clients.md shows; the page contains each of them verbatim."""

import asyncio
import contextlib
import importlib.util
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from tests import services

EXAMPLES = services.ROOT / "examples"
PAGE = services.ROOT / "docs" / "clients.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
# The program each runs with, and the program or package it needs.
RUN_BY = {
    "app/app.rb": ("ruby", "ruby"),
    "clients/client.sh": ("sh", "curl"),
    "clients/client.py": (sys.executable, "httpx"),
    "clients/client.mjs": ("node", "node"),
    "clients/openai_client.py": (sys.executable, "openai"),
    "clients/langchain_client.py": (sys.executable, "langchain_openai"),
}
# Those that wait for the service, index and search.
WHOLE = ["app/app.rb", "clients/client.sh", "clients/client.py", "clients/client.mjs"]
NUMBER = re.compile(r"-?\d+\.\d+")


@pytest.fixture
def collection() -> str:
    """The name of a collection that doesn't exist yet."""
    return f"c{secrets.token_hex(6)}"


def source(name: str) -> str:
    return (EXAMPLES / name).read_text()


def shown_output(name: str) -> str:
    """An example's output according to the page: the next text block."""
    position = BLOCKS.index(next(block for block in BLOCKS if block[1] == source(name)))
    return next(text for language, text in BLOCKS[position:] if language == "text")


def command(name: str) -> list[str]:
    """The command that runs an example; skips if what it needs isn't installed."""
    program, needed = RUN_BY[name]
    is_python = program == sys.executable
    available = importlib.util.find_spec(needed) if is_python else shutil.which(needed)
    if available is None:
        pytest.skip(f"{needed} is not installed")
    return [program, str(EXAMPLES / name)]


def environment(url: str, collection: str, wait_s: int = 60) -> dict[str, str]:
    variables = {
        "VECMARK_URL": url,
        "VECMARK_COLLECTION": collection,
        "VECMARK_WAIT_S": str(wait_s),
    }
    return {**os.environ, "no_proxy": "*", "NO_PROXY": "*", **variables}


def run(name: str, url: str, collection: str, **options: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(name),
        env=environment(url, collection, **options),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextlib.asynccontextmanager
async def not_ready_at_first(service: services.Service) -> AsyncIterator[str]:
    """The URL of a proxy to a service that answers the first request with 503."""
    first = True

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(65_536):
            writer.write(part)
            await writer.drain()
        writer.close()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal first
        if first:
            first = False
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 24\r\n")
            writer.write(b'Connection: close\r\n\r\n{"status":"unavailable"}')
            writer.close()
            return
        service_reader, service_writer = await asyncio.open_connection("127.0.0.1", service.port)
        await asyncio.gather(copy(reader, service_writer), copy(service_reader, writer))

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_the_page_contains_every_example_verbatim():
    files = [path for folder in ("app", "clients") for path in (EXAMPLES / folder).iterdir()]
    names = {str(path.relative_to(EXAMPLES)) for path in files if path.is_file()}
    assert names - {"app/Dockerfile"} == set(RUN_BY)
    programs = [text for language, text in BLOCKS if language != "text"]
    assert sorted(programs) == sorted(map(source, RUN_BY))


def test_every_link_of_the_page_works():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", PAGE.read_text())
    assert targets
    assert [target for target in targets if not (PAGE.parent / target).exists()] == []


@pytest.mark.parametrize("name", RUN_BY)
def test_an_example_prints_what_the_page_shows(name, shared, collection):
    done = run(name, shared.url, collection)
    assert done.returncode == 0, done.stderr
    expected = shown_output(name).replace("http://127.0.0.1:8000", shared.url)
    expected = expected.replace('"example"', f'"{collection}"')
    printed, expected = [
        re.sub(r'"index":\d+', "", "".join(text.split())) for text in (done.stdout, expected)
    ]
    assert NUMBER.split(printed) == NUMBER.split(expected)
    # The last digits depend on the processor.
    numbers = [float(number) for number in NUMBER.findall(printed)]
    assert numbers == pytest.approx([float(x) for x in NUMBER.findall(expected)], abs=0.005)


@pytest.mark.parametrize("name", WHOLE)
def test_existing_documents_are_not_embedded_again(name, shared, client, collection):
    assert run(name, shared.url, collection).returncode == 0
    again = run(name, shared.url, collection)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("unchanged") == 3
    assert client.get(f"/v1/collections/{collection}").json()["documents"] == 3


@pytest.mark.parametrize("name", WHOLE)
async def test_an_example_waits_until_the_service_is_ready(name, shared, collection):
    async with not_ready_at_first(shared) as url:
        process = await asyncio.create_subprocess_exec(
            *command(name),
            env=environment(url, collection),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, err.decode()
    assert "newt" in out.decode()
    if name == "app/app.rb":
        assert err.decode().startswith(f"Waiting for {url}: it answers 503")


@pytest.mark.parametrize("name", WHOLE)
def test_an_example_gives_up_if_the_service_does_not_start(name, collection):
    url = f"http://127.0.0.1:{services.free_port()}"
    done = run(name, url, collection, wait_s=1)
    assert done.returncode != 0
    assert done.stdout == ""
    assert f"{url} is not ready after 1 s: " in done.stderr
    if name == "app/app.rb":
        assert done.stderr.startswith(f"Waiting for {url}: ")


@pytest.mark.parametrize("name", WHOLE)
def test_an_error_response_ends_an_example(name, shared):
    done = run(name, shared.url, "NOT-A-NAME")
    assert done.returncode == 1
    assert "422" in done.stderr
    assert "/problems/validation" in done.stderr
    assert "created" not in done.stdout
