"""Answers: cancelled when the client goes away, encoded without blocking the event loop."""

import asyncio
import itertools
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, TypeVar, cast

import msgspec
from litestar import Response
from litestar.types import Receive

from api.http.ndjson import ClientGone

T = TypeVar("T")


class Stopping(Exception):
    """The service stops before the request is finished."""

    def __init__(self) -> None:
        super().__init__("the service is stopping; send the request again when it is back")


async def cancel_on_disconnect(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, cancelled if the client disconnects. Raises ClientGone, Stopping.

    Call it after the body is read: `receive` then reports nothing but the disconnect.
    """
    working = asyncio.create_task(work, name="work")
    leaving = asyncio.create_task(_wait_for_disconnect(receive), name="disconnect")
    try:
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError as error:
            # The service is stopping, and has waited long enough for the end of this request.
            raise Stopping from error
        if not working.done():
            raise ClientGone
        return await working
    finally:
        working.cancel()
        leaving.cancel()
        # What `work` raises after its client has gone is dropped.
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


# 24,576 numbers (64 vectors of 384) take 1.4 ms.
STEP_NUMBERS = 25_000
_JSON = "application/json"


async def encode_array(items: Iterable[T], numbers: int) -> list[T]:
    """`items` of `numbers` numbers each, encoded as JSON in steps that let other requests run.

    Use the result only as a part of what `json_response` encodes.
    """
    step = max(1, STEP_NUMBERS // max(1, numbers))
    remaining = iter(items)
    parts: list[bytes] = []
    while batch := list(itertools.islice(remaining, step)):
        if parts:
            await asyncio.sleep(0)
        parts.append(msgspec.json.encode(batch)[1:-1])
    return cast(list[T], msgspec.Raw(b"[" + b",".join(parts) + b"]"))


def json_response(content: T, headers: Mapping[str, str]) -> Response[T]:
    """`content` encoded by msgspec; Litestar's own encoder does not support `msgspec.Raw`."""
    body = msgspec.json.encode(content)
    return Response(cast(T, body), media_type=_JSON, headers=headers)
