"""Durations read from a migration's history."""

import pytest

from benchmarks.reembed import migration_client

STATUS = {
    "history": [
        {"state": "planned", "at": "2026-01-01T00:00:00Z", "why": None},
        {"state": "backfilling", "at": "2026-01-01T00:00:01.5Z", "why": None},
        {"state": "building", "at": "2026-01-01T00:00:04+00:00", "why": None},
        {"state": "backfilling", "at": "2026-01-01T00:00:05Z", "why": None},
        {"state": "ready", "at": "2026-01-01T00:01:00Z", "why": None},
    ]
}


def test_a_state_lasts_until_the_next_one():
    assert migration_client.seconds_in(STATUS, "backfilling") == 2.5
    started, ended = migration_client.span(STATUS, "building")
    assert ended - started == 1


@pytest.mark.parametrize("state", ["cutting", "ready"])
def test_a_state_never_entered_or_not_left_has_no_duration(state):
    with pytest.raises(migration_client.StateNotReached, match=state):
        migration_client.seconds_in(STATUS, state)
