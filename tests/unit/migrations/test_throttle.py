"""How the backfill's pace follows the speed of searches."""

from migrations.reembed.throttle import Pace


def settle(pace: Pace, p95_ms: float | None, bound_ms: float | None, seconds: int = 60) -> float:
    for _ in range(seconds):
        pace.adjust(p95_ms, bound_ms)
    return pace.share


def test_slow_searches_slow_it_down_and_calm_ones_let_it_go():
    pace = Pace()
    assert settle(pace, 300, 100, seconds=3) < 0.3
    assert settle(pace, 30, 100) == 1.0


def test_it_never_stops_for_good():
    assert settle(Pace(), 10_000, 100) > 0


def test_within_the_band_the_pace_does_not_change():
    pace = Pace()
    share = settle(pace, 300, 100, seconds=2)
    assert settle(pace, 85, 100) == share


def test_without_searches_or_a_bound_nothing_holds_it_back():
    pace = Pace()
    settle(pace, 300, 100)
    assert settle(pace, None, 100) == 1.0
    settle(pace, 300, 100)
    assert settle(pace, 300, None) == 1.0


def test_it_rests_for_the_rest_of_the_time():
    pace = Pace()
    assert pace.rest_s(2.0) == 0
    pace.share = 0.25
    assert pace.rest_s(1.0) == 3.0
    assert pace.rest_s(60.0) == 5.0
