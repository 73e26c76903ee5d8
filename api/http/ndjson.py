"""NDJSON: lines of a body that arrives in parts, and a spool for the answer, in bounded memory."""

import asyncio
import tempfile
from collections.abc import AsyncIterator

from litestar.types import Receive

# A client that pauses gets the results for what it has sent so far.
IDLE_S = 0.05


# The number of the line, from 1, empty ones counted too, and its bytes.
Line = tuple[int, bytes | None]


class ClientGone(Exception):
    """The client went away before its request was done."""


async def windows(
    receive: Receive, *, max_line: int, max_lines: int, max_bytes: int
) -> AsyncIterator[list[Line]]:
    """Lists of numbered lines, without empty ones; None stands for a line over `max_line` bytes.

    A window ends at `max_lines` or `max_bytes`, when the client pauses, and with the body.
    Raises ClientGone.
    """
    splitter = _Splitter(max_line)
    waiting: list[Line] = []
    size = 0
    more = True
    pending = asyncio.ensure_future(receive())
    try:
        while more:
            done, _ = await asyncio.wait({pending}, timeout=IDLE_S if waiting else None)
            if not done:
                yield waiting
                waiting, size = [], 0
                continue
            message = pending.result()
            if message["type"] != "http.request":
                raise ClientGone
            more = message.get("more_body", False)
            if more:
                pending = asyncio.ensure_future(receive())
            for line in splitter.feed(message.get("body", b""), last=not more):
                waiting.append(line)
                size += len(line[1] or b"")
                if len(waiting) >= max_lines or size >= max_bytes:
                    yield waiting
                    waiting, size = [], 0
        if waiting:
            yield waiting
    finally:
        pending.cancel()


class _Splitter:
    """Keeps the beginning of a line until its end arrives; nothing of a line that is too long."""

    def __init__(self, max_line: int) -> None:
        self._max_line = max_line
        self._rest: list[bytes] = []
        self._size = 0
        self._number = 0

    def feed(self, part: bytes, *, last: bool) -> list[Line]:
        *ended, rest = part.split(b"\n")
        lines: list[Line] = []
        for piece in ended:
            self._keep(piece)
            lines.extend(self._take())
        self._keep(rest)
        if last:
            lines.extend(self._take())
        return lines

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self._max_line:
            self._rest.append(piece)
        else:
            self._rest.clear()

    def _take(self) -> list[Line]:
        self._number += 1
        line = b"".join(self._rest).strip()
        too_long = self._size > self._max_line
        self._rest.clear()
        self._size = 0
        if too_long:
            return [(self._number, None)]
        return [(self._number, line)] if line else []


MEDIA_TYPE = "application/x-ndjson"


IN_MEMORY_BYTES = 1_000_000
_AT_ONCE = 65_536


class Spool:
    """A writer that never waits, and a reader; `finish` ends the reader after the last byte."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115
        self._read_at = 0
        self._write_at = 0
        self._changed = asyncio.Event()
        self._finished = False

    def write(self, content: bytes) -> None:
        self._file.seek(self._write_at)
        self._file.write(content)
        self._write_at += len(content)
        self._changed.set()

    def finish(self) -> None:
        self._finished = True
        self._changed.set()

    def close(self) -> None:
        self._file.close()

    async def read(self) -> bytes:
        """The next bytes; empty once the spool is finished and all were read."""
        while self._read_at == self._write_at and not self._finished:
            self._changed.clear()
            await self._changed.wait()
        self._file.seek(self._read_at)
        content = self._file.read(_AT_ONCE)
        self._read_at += len(content)
        if self._read_at == self._write_at:
            self._file.seek(0)
            self._file.truncate()
            self._read_at = self._write_at = 0
        return content
