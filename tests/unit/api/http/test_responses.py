import asyncio

import pytest

from api.http import responses
from api.http.ndjson import ClientGone


class Client:
    """What uvicorn's `receive` returns once the body is read."""

    def __init__(self) -> None:
        self.goes = asyncio.Event()
        self.received = 0
        self.listened = asyncio.Event()

    async def receive(self):
        self.received += 1
        if self.received == 1:  # as uvicorn does after a body that ended with an empty chunk
            return {"type": "http.request", "body": b"", "more_body": False}
        self.listened.set()
        await self.goes.wait()
        return {"type": "http.disconnect"}


class Work:
    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.ended_by: BaseException | None = None

    async def run(self) -> int:
        try:
            await self.done.wait()
        except BaseException as error:
            self.ended_by = error
            raise
        return 5


async def test_a_connected_client_gets_the_result():
    client, work = Client(), Work()
    asyncio.get_running_loop().call_soon(work.done.set)
    before = asyncio.all_tasks()
    assert await responses.cancel_on_disconnect(client.receive, work.run()) == 5
    assert asyncio.all_tasks() == before


async def test_a_failure_of_the_work_is_raised():
    async def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await responses.cancel_on_disconnect(Client().receive, fails())


async def test_work_is_cancelled_when_the_client_disconnects():
    client, work = Client(), Work()
    before = asyncio.all_tasks()
    client.goes.set()
    with pytest.raises(ClientGone):
        await responses.cancel_on_disconnect(client.receive, work.run())
    assert isinstance(work.ended_by, asyncio.CancelledError)
    assert asyncio.all_tasks() == before


async def test_work_is_cancelled_when_the_service_stops():
    client, work = Client(), Work()
    waiting = asyncio.create_task(responses.cancel_on_disconnect(client.receive, work.run()))
    await client.listened.wait()
    waiting.cancel()
    with pytest.raises(responses.Stopping, match="send the request again"):
        await waiting
    assert isinstance(work.ended_by, asyncio.CancelledError)
