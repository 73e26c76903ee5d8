"""When the sweeper sweeps: at its start, when it is woken, and again after a failure."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from indexing import sweeper
from indexing.sweeper import Sweeper

PATIENCE_S = 10.0


class CountingSweeper(Sweeper):
    """Counts its sweeps, of which the first `failures` fail; no process retires an index."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__(create_async_engine("postgresql+psycopg://127.0.0.1:1/none"))
        self.failures = failures
        self.sweeps = 0
        self.swept = asyncio.Event()

    async def sweep(self) -> None:
        self.sweeps += 1
        if self.sweeps <= self.failures:
            raise ConnectionError
        self.swept.set()

    async def _has_retired(self) -> bool:
        return False


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "_GRACE_S", 0)
    # Longer than the test: a sweep that comes all the same was not brought by a look.
    monkeypatch.setattr(sweeper, "_LOOK_EVERY_S", 3600)


async def wait_for(event: asyncio.Event) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await event.wait()
    event.clear()


async def test_it_sweeps_at_its_start_and_when_it_is_woken():
    counting = CountingSweeper()
    task = asyncio.create_task(counting.run())
    await wait_for(counting.swept)
    for _ in range(20):
        await asyncio.sleep(0)
    assert counting.sweeps == 1
    counting.wake()
    await wait_for(counting.swept)
    assert counting.sweeps == 2
    task.cancel()


async def test_a_failed_sweep_is_tried_again_without_waiting_for_the_next_look():
    counting = CountingSweeper(failures=2)
    task = asyncio.create_task(counting.run())
    await wait_for(counting.swept)
    assert counting.sweeps == 3
    task.cancel()
