"""Percentiles are the nearest rank, without interpolation; sizes are in decimal units."""

import pytest

from indexing import figures


@pytest.mark.parametrize(
    ("percent", "value"),
    [(0, 15), (5, 15), (20, 15), (20.1, 20), (40, 20), (50, 35), (95, 50), (100, 50)],
)
def test_the_smallest_value_that_so_many_do_not_exceed(percent, value):
    assert figures.nearest_rank([50, 20, 15, 40, 35], percent) == value


@pytest.mark.parametrize("count", [1, 7, 20, 100, 700])
@pytest.mark.parametrize("percent", [7, 50, 95, 99])
def test_at_least_so_many_are_not_above_it_and_fewer_are_below_it(percent, count):
    values = list(range(count))
    value = figures.nearest_rank(values, percent)
    assert 100 * (value + 1) >= percent * count
    assert 100 * value < percent * count


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 kB"), (850_000, "850 kB"), (1_250_000, "1.2 MB"), (12_345_000_000, "12 GB")],
)
def test_sizes(count, expected):
    assert figures.format_bytes(count) == expected
