"""The loop of background tasks: when it ticks, which errors it drops, what ends it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import psycopg
import pytest
from structlog.testing import capture_logs

from indexing import errors, tasks

# Longer than any test: a tick that comes all the same was not brought by the pause.
NEVER_S = 3600.0
PATIENCE_S = 10.0


class Ticks:
    """A tick whose calls can be awaited; each ends as the next of `outcomes` says."""

    def __init__(self, *outcomes: bool | BaseException | None) -> None:
        self.count = 0
        self._outcomes = iter(outcomes)
        self._called = asyncio.Condition()

    async def __call__(self) -> bool | None:
        async with self._called:
            self.count += 1
            self._called.notify_all()
        outcome = next(self._outcomes, None)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S), self._called:
            await self._called.wait_for(lambda: self.count >= count)


@contextlib.asynccontextmanager
async def running(
    seconds: float, tick: Callable[[], Awaitable[bool | None]], **options
) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(tasks.every(seconds, tick, name="probe", **options))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settled() -> None:
    """Every task that can run has run until it waits for something."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_it_ticks_at_once_and_again_after_the_pause():
    tick = Ticks()
    async with running(0.001, tick):
        await tick.reach(3)


async def test_the_first_tick_can_wait_for_the_pause():
    wake = asyncio.Event()
    tick = Ticks()
    async with running(NEVER_S, tick, wake=wake, pause_first=True):
        await settled()
        assert tick.count == 0
        wake.set()
        await tick.reach(1)


async def test_waking_ends_the_pause_once():
    wake = asyncio.Event()
    tick = Ticks()
    async with running(NEVER_S, tick, wake=wake):
        await tick.reach(1)
        await settled()
        assert tick.count == 1
        wake.set()
        await tick.reach(2)
        await settled()
        assert tick.count == 2
        assert not wake.is_set()


async def test_waking_during_a_tick_brings_another():
    wake = asyncio.Event()
    count = 0

    async def tick() -> None:
        nonlocal count
        count += 1
        if count == 1:
            wake.set()

    async with running(NEVER_S, tick, wake=wake):
        await settled()
        assert count == 2


async def test_there_is_no_pause_while_there_is_more_to_do():
    tick = Ticks(True, True, False)
    async with running(NEVER_S, tick):
        await tick.reach(3)
        await settled()
        assert tick.count == 3


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("server closed the connection unexpectedly"),
        psycopg.errors.AdminShutdown("57P01"),
        ConnectionRefusedError(),
    ],
)
async def test_a_database_that_is_unavailable_is_waited_for_in_silence(error: Exception):
    tick = Ticks(error)
    with capture_logs() as logged:
        async with running(0.001, tick) as task:
            await tick.reach(2)
            assert not task.done()
    assert logged == []


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.DeadlockDetected("40P01"),
        psycopg.errors.LockNotAvailable("55P03"),
        errors.Busy("other clients kept changing the same documents"),
    ],
)
async def test_work_that_others_hold_up_is_a_warning_with_the_reason(error: Exception):
    tick = Ticks(error)
    with capture_logs() as logged:
        async with running(0.001, tick) as task:
            await tick.reach(2)
            assert not task.done()
    assert logged == [{"event": "probe_delayed", "log_level": "warning", "reason": str(error)}]


async def test_a_task_can_drop_errors_of_its_own():
    tick = Ticks(KeyError("a"), ValueError("b"))
    with capture_logs() as logged:
        async with running(0.001, tick, ignore=(KeyError,)):
            await tick.reach(3)
    assert [entry["event"] for entry in logged] == ["probe_failed"]
    assert "exc_info" in logged[0]


@pytest.mark.parametrize("error", [ValueError("a fault"), psycopg.errors.DiskFull("53100")])
async def test_any_other_error_is_logged_and_the_loop_continues(error: Exception):
    tick = Ticks(error)
    with capture_logs() as logged:
        async with running(0.001, tick) as task:
            await tick.reach(2)
            assert not task.done()
    assert [(entry["event"], entry["log_level"]) for entry in logged] == [("probe_failed", "error")]


async def test_after_an_error_it_pauses():
    tick = Ticks(ValueError("a fault"))
    async with running(NEVER_S, tick):
        await tick.reach(1)
        await settled()
        assert tick.count == 1


async def test_a_cancelled_tick_ends_the_task():
    async def tick() -> None:
        await asyncio.Event().wait()

    async with running(0.001, tick) as task:
        await settled()
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE_S)
        assert task.cancelled()


class Killed(BaseException):
    pass


async def test_anything_but_an_ordinary_error_ends_the_task():
    async with running(0.001, Ticks(Killed())) as task:
        await asyncio.wait([task], timeout=PATIENCE_S)
        assert isinstance(task.exception(), Killed)
