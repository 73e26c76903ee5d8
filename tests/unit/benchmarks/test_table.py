"""The printed table."""

import pytest

from benchmarks import table


@pytest.mark.parametrize(
    ("target", "value", "other", "met"),
    [
        (table.Target("ratio", ">=", 0.9), 45, 50, True),
        (table.Target("ratio", ">=", 0.9), 44, 50, False),
        (table.Target("ratio", "<=", 1.6), 8, 5, True),
        (table.Target("ratio", "<=", 1.6), 8.1, 5, False),
        (table.Target("difference", "<=", 1.5), 4.5, 3, True),
        (table.Target("difference", "<=", 1.5), 4.6, 3, False),
        (table.Target("difference", ">=", -0.01), 0.636, 0.645, True),
        (table.Target("difference", ">=", -0.01), 0.634, 0.645, False),
        (table.Target("difference", "<=", 1.5), 1, None, False),
        (table.Target("figure", "<=", 1200), 1201, None, False),
        (table.Target("figure", "+-", 0.645, 0.005), 0.6495, None, True),
        (table.Target("figure", "+-", 0.645, 0.005), 0.6395, None, False),
        (table.Target("ratio", ">=", 0.9), 45, None, False),
        (None, 45, 50, None),
    ],
)
def test_targets_are_checked(target, value, other, met):
    assert table.Row("part", "it", value, other=other, target=target).is_met is met


def test_a_row_shows_both_figures_and_their_ratio():
    row = table.Row("ingest", "over HTTP", 45, "docs/s", "bare", 50, note="one run")
    assert row.cells() == (
        "ingest: over HTTP",
        "45.00 docs/s",
        "bare",
        "50.00 docs/s",
        "0.900",
        "",
        "",
        "one run",
    )


def test_a_row_of_medians_is_in_milliseconds():
    target = table.Target("difference", "<=", 1.5)
    row = table.medians(
        "part", "it", [1, 9, 2], beside="less", other_values=[1, 1, 5], target=target
    )
    assert row.cells()[:6] == (
        "part: median, it",
        "2.000 ms",
        "less",
        "1.000 ms",
        "2.000",
        "difference <= 1.5",
    )


def test_the_columns_are_aligned():
    target = table.Target("figure", "<=", 1200)
    rows = [
        table.Row("memory", "peak", 900, "MB", target=target),
        table.Row("ingest", "over HTTP", 45, "docs/s", "bare", 50),
    ]
    lines = table.render(rows).splitlines()
    assert lines[2].index("MB") + 2 == lines[3].index("docs/s") + len("docs/s")
    assert "<= 1200" in lines[2]
    assert lines[2].endswith("yes")


def test_a_row_can_be_written_as_json():
    row = table.Row("search", "p95", 8, "ms", "parts", 5, table.Target("ratio", "<=", 1.6))
    content = row.to_dict()
    assert (content["ratio"], content["target"], content["met"]) == (1.6, "ratio <= 1.6", True)
