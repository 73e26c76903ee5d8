"""Overload: refused immediately, and accepted again once clients go away."""

import contextlib
import json
import socket
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests import services, waiting
from tests.acceptance import truths
from tests.acceptance.embeddings.conftest import MAX_BODY, MAX_QUEUED, openai_error

TEXT = "boat " * 250  # 252 tokens
MUCH = json.dumps({"texts": [TEXT] * (MAX_QUEUED // 252)}).encode()
MORE = [TEXT] * 8


@pytest.fixture
def send(shared: services.Service) -> Iterator[Callable[[str, bytes], socket.socket]]:
    """Sends a request or the start of one without reading an answer; disconnects afterwards."""
    with contextlib.ExitStack() as stack:

        def begin(head: str, body: bytes) -> socket.socket:
            sock = stack.enter_context(
                socket.create_connection(("127.0.0.1", shared.port), timeout=60)
            )
            lines = f"POST /embed HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n"
            sock.sendall(lines.encode() + body)
            return sock

        yield begin


def waiting_tokens(client: httpx.Client) -> int:
    return client.get("/v1/models/bundled").raise_for_status().json()["queue"]["waiting_tokens"]


def test_more_tokens_than_may_wait_get_429_until_a_client_goes(client, send):
    left: list[socket.socket] = []

    def is_full() -> bool:
        # One of these waits; the others are refused too.
        left.append(send(f"Content-Length: {len(MUCH)}", MUCH))
        return client.post("/embed", json={"texts": MORE}).status_code == 429

    waiting.until(is_full)
    refused = client.post("/v1/embeddings", json={"model": "bundled", "input": MORE})
    native = [
        client.post("/embed", json={"texts": MORE}),
        client.post("/similarity", json={"texts": MORE}),
    ]
    for sock in left:
        sock.close()
    waiting.until(lambda: waiting_tokens(client) == 0)
    for answer in (refused, *native):
        if answer.status_code != 200:  # on a fast machine it may already have been processed
            assert int(answer.headers["Retry-After"]) >= 1
    if refused.status_code != 200:
        assert "try again" in openai_error(refused, 429, "rate_limit_exceeded", None)
        assert refused.json()["error"]["type"] == "rate_limit_error"
    for answer in native:
        if answer.status_code != 200:
            assert truths.is_problem(answer, 429)["type"] == "/problems/overloaded"
    assert client.post("/embed", json={"texts": MORE}).is_success


def test_bodies_beyond_the_total_limit_get_429_until_some_clients_go(client, send):
    content = json.dumps({"texts": ["a boat"], "more": "x" * 800_000}).encode()
    part = b" " * (MAX_BODY - 1000)
    chunk = f"{len(part):x}\r\n".encode() + part + b"\r\n"
    sockets: list[socket.socket] = []

    def answer(path: str) -> httpx.Response:
        return client.post(path, content=content)

    def is_full() -> bool:
        # Eight of these nearly fill the limit; more are refused too.
        sockets.append(send("Transfer-Encoding: chunked", chunk))
        return answer("/embed").status_code == 429

    waiting.until(is_full)
    for path in ("/embed", "/v1/search", "/v1/documents", "/v1/collections"):
        refused = answer(path)
        assert truths.is_problem(refused, 429)["type"] == "/problems/too-many-bodies"
        assert int(refused.headers["Retry-After"]) >= 1
    openai_error(answer("/v1/embeddings"), 429, "rate_limit_exceeded", None)
    # Queries are small and still get through.
    assert client.post("/embed", json={"text": "a boat"}).is_success
    for sock in sockets:
        sock.close()
    waiting.until(lambda: truths.is_problem(answer("/embed"))["status"] == 422)
