"""Bytes that a client has yet to take: in memory while few, on disk beyond."""

import asyncio
import tempfile

IN_MEMORY_BYTES = 1_000_000
_AT_ONCE = 65_536


class Spool:
    """One writes without ever waiting, one reads; `finish` ends the reader after the last byte."""

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
