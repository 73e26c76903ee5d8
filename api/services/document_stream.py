"""Documents as a stream of lines: read, indexed and answered concurrently, in bounded memory.

Only one ASGI callable calls `receive`: Litestar's own streams listen for the disconnect and lose
parts of the body. A client that reads only after it has sent everything never blocks: results
that it doesn't read are spooled to disk.
"""

import asyncio
import collections
import contextlib
from collections.abc import Sequence
from uuid import UUID

import msgspec
from litestar.types import Receive, Scope, Send

from api.http import ndjson, problems
from api.service import Service
from api.services import documents as document_services
from indexing.documents import results
from indexing.documents.indexer import Item, Stream
from indexing.errors import first
from storage.collections import CollectionRow

MAX_LINES = 512
MAX_BYTES = 250_000
_STOPPING = "the service is stopping; send the lines without a result again"

_Batches = asyncio.Queue["tuple[list[int], asyncio.Task[list[results.WriteResult]]] | None"]


class DocumentStream:
    """The ASGI answer to one stream of documents; `only_failures` omits successful results."""

    def __init__(self, service: Service, name: str, *, only_failures: bool) -> None:
        self._service = service
        self._name = name
        self._only_failures = only_failures
        self._counts: collections.Counter[str] = collections.Counter()
        self._spool = ndjson.Spool()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        collection = await self._service.collection(self._name)
        with contextlib.closing(self._spool):
            try:
                await self._run(receive, send, collection.row)
            except asyncio.CancelledError:
                # The service is stopping, and has waited long enough for the end of this stream.
                self._end_with(problems.build(503, "stopping", _STOPPING))
                await self._drain(send)

    async def _run(self, receive: Receive, send: Send, collection: CollectionRow) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send(send), name="ndjson-send")
                group.create_task(self._index(receive, collection), name="ndjson-index")
        except* ndjson.ClientGone:
            pass

    async def _index(self, receive: Receive, collection: CollectionRow) -> None:
        """Read, index and spool the results; an error ends the stream with a line about it."""
        batches: _Batches = asyncio.Queue()
        try:
            async with (
                self._service.indexer.stream(collection) as stream,
                asyncio.TaskGroup() as group,
            ):
                group.create_task(self._answer(batches), name="ndjson-answer")
                await self._read(receive, collection.id, stream, batches)
                batches.put_nowait(None)
        except* ndjson.ClientGone:
            raise
        except* Exception as errors:
            self._end_with(problems.describe_and_log(first(errors)))
        else:
            if self._only_failures:
                self._spool.write(msgspec.json.encode({"summary": self._summary()}) + b"\n")
        finally:
            self._spool.finish()

    async def _read(
        self, receive: Receive, collection_id: UUID, stream: Stream, batches: _Batches
    ) -> None:
        settings = self._service.settings
        async for window in ndjson.windows(
            receive,
            max_line=settings.max_body_bytes,
            max_lines=MAX_LINES,
            max_bytes=MAX_BYTES,
        ):
            items = [self._item(line, collection_id) for _, line in window]
            numbers = [number for number, _ in window]
            batches.put_nowait((numbers, await stream.submit(items)))

    def _item(self, line: bytes | None, collection_id: UUID) -> Item:
        settings = self._service.settings
        if line is None:
            reason = f"the line is longer than {settings.max_body_bytes:,} bytes"
            return results.failed(None, "too-large", reason)
        return document_services.parse_document(
            line, collection_id, max_chars=settings.max_text_chars
        )

    async def _answer(self, batches: _Batches) -> None:
        while (batch := await batches.get()) is not None:
            numbers, task = batch
            self._spool.write(self._encode(numbers, await task))

    def _encode(self, numbers: Sequence[int], written: Sequence[results.WriteResult]) -> bytes:
        encoded = []
        for line, result in zip(numbers, written, strict=True):
            self._counts[result.status] += 1
            self._counts["lines"] += 1
            if not self._only_failures or result.status == "failed":
                encoded.append(msgspec.json.encode(document_services.document_result(result, line)))
        return b"".join(line + b"\n" for line in encoded)

    def _summary(self) -> dict[str, int]:
        names = ("created", "updated", "unchanged", "superseded", "failed", "lines")
        return {name: self._counts[name] for name in names}

    def _end_with(self, problem: problems.Problem) -> None:
        self._spool.write(msgspec.json.encode({"error": problem}) + b"\n")

    async def _send(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"content-type", ndjson.MEDIA_TYPE.encode()),
                    (b"x-accel-buffering", b"no"),
                ],
            }
        )
        await self._drain(send)

    async def _drain(self, send: Send) -> None:
        while content := await self._spool.read():
            await send({"type": "http.response.body", "body": content, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
