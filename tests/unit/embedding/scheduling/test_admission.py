import asyncio

import pytest

from embedding import errors
from embedding.scheduling import executor


def test_too_much_is_distinguished_from_too_much_now():
    room = executor.Admission(100)
    room.admit(60)
    with pytest.raises(
        errors.TooMuch, match=r"101 tokens together; one request may have at most 100"
    ):
        room.admit(101)
    with pytest.raises(errors.Overloaded):
        room.admit(41)
    room.admit(40)
    with pytest.raises(errors.Overloaded):
        room.require_room()
    room.release(60)
    room.require_room()
    room.admit(60)


def test_when_to_come_again_follows_from_the_measured_rate():
    room = executor.Admission(10_000)
    for _ in range(200):
        room.record_rate(100, 0.2, parallel_batches=2)  # 1,000 tokens a second
    room.admit(10_000)
    assert room.retry_after_s(5_000) == 5
    assert room.retry_after_s(10_000_000) == 60


def test_an_estimate_that_was_too_low_is_corrected():
    room = executor.Admission(100)
    room.admit(10)
    room.correct(10, 90)
    with pytest.raises(errors.Overloaded):
        room.admit(20)
    room.release(90)
    assert room.waiting == 0


async def test_those_who_wait_come_in_by_turns():
    room = executor.Admission(100)
    await room.wait(500)  # larger than all room, but nobody else is there
    came = []

    async def wait(name, tokens):
        await room.wait(tokens)
        came.append(name)

    tasks = [asyncio.create_task(wait(name, 60)) for name in ("first", "second", "third")]
    await asyncio.sleep(0)
    with pytest.raises(errors.Overloaded):
        room.admit(1)
    room.release(500)
    await asyncio.gather(*tasks[:2])
    assert came == ["first", "second"]
    room.release(60)
    await tasks[2]
    assert room.waiting == 120


async def test_one_who_gives_up_leaves_no_gap():
    room = executor.Admission(100)
    await room.wait(100)
    gives_up = asyncio.create_task(room.wait(100))
    stays = asyncio.create_task(room.wait(50))
    await asyncio.sleep(0)
    room.release(100)  # lets the first one in, in the moment in which it gives up
    gives_up.cancel()
    await asyncio.wait({stays, gives_up})
    assert gives_up.cancelled()
    assert room.waiting == 50
