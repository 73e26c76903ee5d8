from typing import Any

import pytest

from api.http.bodies import FREE_BYTES, BodiesFull, BodyBudget, BodyShare, BodyTooLarge

MAX_BODY = 1_000_000


async def app(scope, receive, send) -> None:
    """Answers nothing."""


async def unused(*_) -> Any:
    raise AssertionError


def shares(limit: int, count: int) -> tuple[BodyBudget, list[BodyShare]]:
    budget = BodyBudget(app, each=MAX_BODY, together=limit)
    return budget, [BodyShare(budget) for _ in range(count)]


def test_the_bytes_held_never_exceed_the_limit():
    budget, (one, other) = shares(1000, 2)
    one.take(FREE_BYTES)
    one.take(600)
    other.take(FREE_BYTES + 400)
    assert budget.in_use == 1000
    with pytest.raises(BodiesFull):
        other.take(1)
    assert budget.in_use == 1000
    one.release()
    other.take(1)
    assert budget.in_use == 401
    other.release()
    assert budget.in_use == 0


def test_a_body_that_will_not_fit_is_refused_before_it_is_read():
    budget, (one, other) = shares(1000, 2)
    one.take(FREE_BYTES + 600)
    other.expect(FREE_BYTES + 400)
    with pytest.raises(BodiesFull, match="try again"):
        other.expect(FREE_BYTES + 401)
    assert budget.in_use == 600


def test_short_bodies_pass_while_the_budget_is_full():
    budget, (one, *others) = shares(1000, 5)
    one.take(FREE_BYTES + 1000)
    for other in others:
        other.expect(FREE_BYTES)
        other.take(FREE_BYTES - 1)
        other.take(1)
    assert budget.in_use == 1000


def test_a_body_over_the_limit_is_refused_before_and_while_it_is_read():
    budget = BodyBudget(app, each=10, together=1000)
    share = BodyShare(budget)
    with pytest.raises(BodyTooLarge, match="10 bytes"):
        share.expect(11)
    share.expect(10)
    share.take(10)
    with pytest.raises(BodyTooLarge):
        share.take(1)


async def test_a_share_is_given_back_however_the_request_ends():
    async def takes(scope, receive, send) -> None:
        scope["state"]["body_share"].take(FREE_BYTES + 100)
        assert budget.in_use == 100
        raise ValueError("no")

    budget = BodyBudget(takes, each=MAX_BODY, together=1000)
    scope: Any = {"type": "http", "state": {}}
    with pytest.raises(ValueError, match="no"):
        await budget(scope, unused, unused)
    assert budget.in_use == 0
