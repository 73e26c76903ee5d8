"""Which states of a migration can follow which."""

import itertools
from typing import get_args

import pytest

from migrations.reembed import errors, states
from storage import migration_states
from storage.migration_states import State

ALL: tuple[State, ...] = get_args(State)


@pytest.mark.parametrize("state", sorted(migration_states.ENDED))
def test_nothing_follows_an_end(state: State):
    assert states.allowed_next(state) == frozenset()
    with pytest.raises(errors.TransitionRefused, match="it is over"):
        states.check(state, "backfilling")


@pytest.mark.parametrize("state", states.WORKER_STATES)
def test_every_working_state_can_be_paused_and_resumed(state: State):
    states.check(state, "paused")
    states.check("paused", state, state)
    others = {other for other in states.WORKER_STATES if other != state} - {"done"}
    for other in others:
        with pytest.raises(errors.TransitionRefused):
            states.check("paused", other, state)


def test_only_before_the_cutover_can_it_be_cancelled():
    for state in states.WORKER_STATES:
        assert states.can_cancel(state) is (state != "soaking")
        assert states.can_cancel("paused", state) is (state != "soaking")
        assert states.can_cancel("failed", state) is (state != "soaking")


def test_only_after_the_cutover_can_it_be_rolled_back_or_retired():
    for state, to in itertools.product(ALL, ("rolled_back", "done")):
        resumes: State | None = "soaking" if state in states.STOPPED else None
        may = state == "soaking" or resumes == "soaking"
        assert (to in states.allowed_next(state, resumes)) is may


def test_every_end_is_reached_from_the_start():
    seen: set[State] = set()
    todo: list[State] = ["planned"]
    while todo:
        state = todo.pop()
        if state in seen:
            continue
        seen.add(state)
        for resumes in (None, *states.WORKER_STATES):
            if (state in states.STOPPED) is (resumes is not None):
                todo.extend(states.allowed_next(state, resumes))
    assert seen == set(ALL)


def test_gates_are_overruled_from_blocked_alone():
    may = {state for state in ALL if "cutting" in states.allowed_next(state)}
    assert may == {"ready", "blocked"}
