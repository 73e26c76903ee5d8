"""A client that sends lines and reads results at the same time on one connection."""

import contextlib
import http.client
import json
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self

Line = dict[str, Any] | bytes


class LineStream:
    """One NDJSON request; a context manager that closes the connection on exit."""

    def __init__(self, port: int, path: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._connection.putrequest("POST", path)
        self._connection.putheader("Content-Type", "application/x-ndjson")
        self._connection.putheader("Transfer-Encoding", "chunked")
        self._connection.endheaders()
        self._response: http.client.HTTPResponse | None = None
        self._sender: threading.Thread | None = None
        self.sent = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._response is not None:
            self._response.close()
        self._connection.close()
        if self._sender is not None:
            self._sender.join(30)

    def send(self, *lines: Line) -> None:
        content = b"".join(encoded(line) for line in lines)
        self._connection.send(b"%x\r\n%s\r\n" % (len(content), content))
        self.sent += len(lines)

    def end(self) -> None:
        self._connection.send(b"0\r\n\r\n")

    def feed(self, lines: Iterable[Line], *, at_once: int = 20) -> None:
        """Send in the background, then end the body; stops if the connection breaks."""

        def work() -> None:
            part: list[Line] = []
            with contextlib.suppress(OSError):
                for line in lines:
                    part.append(line)
                    if len(part) == at_once:
                        self.send(*part)
                        part = []
                if part:
                    self.send(*part)
                self.end()

        self._sender = threading.Thread(target=work, name="feed")
        self._sender.start()

    def results(self) -> Iterator[dict[str, Any]]:
        """Result lines as they arrive; ends if the connection breaks."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            while line := self._body().readline():
                yield json.loads(line)

    def result(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self._body().readline())
        return line

    def _body(self) -> http.client.HTTPResponse:
        if self._response is None:
            self._response = self._connection.getresponse()
            assert self._response.status == 200, self._response.read()
        return self._response


def encoded(line: Line) -> bytes:
    return line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
