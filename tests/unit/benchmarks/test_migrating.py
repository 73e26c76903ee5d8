import pytest

from benchmarks.reembed import migrating

SHOWN = {
    "history": [
        {"state": "planned", "at": "2026-01-01T00:00:00Z", "why": None},
        {"state": "backfilling", "at": "2026-01-01T00:00:01.5Z", "why": None},
        {"state": "building", "at": "2026-01-01T00:00:04+00:00", "why": None},
        {"state": "backfilling", "at": "2026-01-01T00:00:05Z", "why": None},
        {"state": "ready", "at": "2026-01-01T00:01:00Z", "why": None},
    ]
}


def test_a_state_lasts_until_the_next_one():
    assert migrating.seconds_in(SHOWN, "backfilling") == 2.5
    begun, ended = migrating.span(SHOWN, "building")
    assert ended - begun == 1


@pytest.mark.parametrize("state", ["cutting", "ready"])
def test_a_state_that_never_was_or_lasts_has_no_length(state):
    with pytest.raises(migrating.NotReached, match=state):
        migrating.seconds_in(SHOWN, state)
