"""Clients that go away while they wait for an answer."""

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
    """The service stops before the request is done."""

    def __init__(self) -> None:
        super().__init__("the service stops before this was done; send it again when it is back")


async def cancel_on_disconnect(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives; it is cancelled when the client goes. Raises ClientGone, Stopping.

    Only once the body is read: `receive` then has nothing else to tell.
    """
    working = asyncio.create_task(work, name="work")
    leaving = asyncio.create_task(_gone(receive), name="departure")
    try:
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError as error:
            # The service stops, and has waited for the end of this request long enough.
            raise Stopping from error
        if not working.done():
            raise ClientGone
        return await working
    finally:
        working.cancel()
        leaving.cancel()
        # What `work` raises after its client has gone interests nobody any more.
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


# 24,576 numbers (64 vectors of 384) take 1.4 ms.
STEP_NUMBERS = 25_000
_JSON = "application/json"


async def encode_array(items: Iterable[T], numbers: int) -> list[T]:
    """`items`, of `numbers` numbers each, as JSON already: only to be part of what is encoded."""
    step = max(1, STEP_NUMBERS // max(1, numbers))
    remaining = iter(items)
    parts: list[bytes] = []
    while some := list(itertools.islice(remaining, step)):
        if parts:
            await asyncio.sleep(0)
        parts.append(msgspec.json.encode(some)[1:-1])
    return cast(list[T], msgspec.Raw(b"[" + b",".join(parts) + b"]"))


def json_response(content: T, headers: Mapping[str, str]) -> Response[T]:
    """`content` as JSON by msgspec alone; Litestar's own encoder knows no `msgspec.Raw`."""
    body = msgspec.json.encode(content)
    return Response(cast(T, body), media_type=_JSON, headers=headers)
