"""Clients that go away while they wait for an answer."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from litestar.types import Receive

from api.lines import ClientGone

T = TypeVar("T")


class Stopping(Exception):
    """The service stops before the request is done."""

    def __init__(self) -> None:
        super().__init__("the service stops before this was done; send it again when it is back")


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
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
