"""A client of the service on one kept-alive connection, standard library only."""

import http.client
import json
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 600
JSON = {"Content-Type": "application/json"}
BLOCK_BYTES = 65_536


class Refused(RuntimeError):
    """The service refused a request or did only part of it; the message quotes the answer."""


@dataclass(frozen=True)
class Ingested:
    """A completed stream: its acknowledged lines and how long they took."""

    lines: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.lines / self.seconds


class Client:
    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)

    def close(self) -> None:
        self._connection.close()

    def request(self, method: str, path: str, content: object = None) -> Any:
        """The decoded answer. Raises Refused unless its status is 2xx."""
        body = None if content is None else json.dumps(content).encode()
        headers = {} if body is None else JSON
        self._connection.request(method, path, body=body, headers=headers)
        raw = self._answer(f"{method} {path}")
        return json.loads(raw) if raw else None

    def post(self, path: str, body: bytes) -> bytes:
        """POST a JSON body and return the raw answer, so that no decoding is timed."""
        self._connection.request("POST", path, body=body, headers=JSON)
        return self._answer(f"POST {path}")

    def get(self, path: str, **query: object) -> Any:
        return self.request("GET", address(path, **query))

    def fetch(self, target: str) -> bytes:
        """GET and return the raw answer, so that no decoding is timed."""
        self._connection.request("GET", target)
        return self._answer(target)

    def create(self, collection: str, *, strategy: str | None = None) -> None:
        chunking = {} if strategy is None else {"chunking": {"strategy": strategy}}
        self.request("POST", "/v1/collections", {"name": collection, **chunking})

    def drop(self, collection: str) -> None:
        """Delete the collection if it exists."""
        if collection in {item["name"] for item in self.get("/v1/collections")["items"]}:
            self.request("DELETE", f"/v1/collections/{collection}")

    def search(self, collection: str, text: str, *, exact: bool = False, limit: int = 10) -> Any:
        path = f"/v1/collections/{collection}/search"
        return self.get(path, q=text, limit=limit, exact=str(exact).lower())

    def ingest(self, collection: str, lines: Sequence[bytes]) -> Ingested:
        """Send documents as one stream and read all results.

        The time runs from the first byte sent to the last result read. Raises Refused if a
        document wasn't stored.
        """
        path = f"/v1/collections/{collection}/documents"
        headers = {
            "Content-Type": "application/x-ndjson",
            "Content-Length": str(sum(map(len, lines))),
        }
        started = time.perf_counter()
        self._connection.request("POST", path, body=_blocks(lines), headers=headers)
        raw = self._answer(f"POST {path}")
        seconds = time.perf_counter() - started
        results = [json.loads(line) for line in raw.splitlines()]
        failed = [
            result for result in results if result.get("status") not in {"created", "updated"}
        ]
        if failed or len(results) != len(lines):
            raise Refused(
                f"{len(results)} of {len(lines)} lines were answered, {len(failed)} not stored; "
                f"the first failure: {failed[:1]}"
            )
        return Ingested(len(lines), seconds)

    def _answer(self, request: str) -> bytes:
        response = self._connection.getresponse()
        raw = response.read()
        if not 200 <= response.status < 300:
            raise Refused(f"{request}: {response.status} {raw[:500].decode(errors='replace')}")
        return raw


def address(path: str, **query: object) -> str:
    return f"{path}?{urllib.parse.urlencode(query)}" if query else path


def _blocks(lines: Sequence[bytes]) -> Iterator[bytes]:
    """Lines joined into larger blocks: a socket write per line would cost more than the line."""
    block = bytearray()
    for line in lines:
        block += line
        if len(block) >= BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)
