"""One client's connection, which survives restarts of the service."""

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any

from benchmarks import client

# The server closes a connection after five idle seconds, possibly just as a request arrives.
IDLE_S = 2.0


class NotSent(Exception):
    """Nobody is listening, so the request was certainly not carried out."""


class Lost(Exception):
    """The connection broke or timed out; the request may or may not have been carried out."""


@dataclass(frozen=True)
class Answer:
    status: int
    content: Any

    @property
    def problem(self) -> str:
        """The service's description of an error."""
        if not isinstance(self.content, dict):
            return str(self.content)[:200]
        return f"{self.content.get('type', '')} {self.content.get('detail', '')}"[:300]


class Session:
    def __init__(self, port: int, timeout_s: float) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        self._used = 0.0

    def ask(self, method: str, path: str, content: object = None) -> Answer:
        """Send a request. Raises NotSent or Lost."""
        if time.monotonic() - self._used > IDLE_S:
            self._connection.close()
        body = None if content is None else json.dumps(content).encode()
        try:
            self._connection.request(
                method, path, body=body, headers={} if body is None else client.JSON
            )
            response = self._connection.getresponse()
            raw = response.read()
        except ConnectionRefusedError as error:
            self._connection.close()
            raise NotSent(str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Lost(f"{type(error).__name__}: {error}") from error
        self._used = time.monotonic()
        return Answer(response.status, _decoded(raw))

    def close(self) -> None:
        self._connection.close()


def _decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return raw.decode(errors="replace")
