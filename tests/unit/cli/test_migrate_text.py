"""A migration in words."""

from datetime import datetime

import pytest

from api.cli import output, tables
from api.cli.migrate import show, text
from tests.unit.cli import migrations

WRONG = [{"id": "a/b", "reason": "the text\nis empty"}]


def lines(migration) -> dict[str, str]:
    """The labelled lines of `status`."""
    return {
        label: value.strip()
        for label, colon, value in (line.partition(":") for line in text.describe(migration))
        if colon and not label.startswith(" ")
    }


def test_a_migration_that_runs_is_shown_with_its_speed():
    labels = lines(migrations.migration())
    assert labels["state"] == "backfilling"
    assert labels["from"] == "bundled, index 3, chunking sentence, size 254, overlap 32"
    assert labels["documents"] == "420 of 1,000 (42 %)"
    assert labels["chunks"] == "812, 120/s, about 5 min 03 s left"
    assert labels["work"] == "1 worker, pace 100 %"
    assert labels["next"] == "It is built next."
    assert not {"error", "waiting", "old index", "kept until", "build"} & set(labels)


def test_values_stand_in_one_column():
    labels = tables.aligned([("a", 1), ("longer", 2)])
    assert labels == ["a:      1", "longer: 2"]


def test_a_stopped_migration_shows_its_resume_state_and_no_speed():
    migration = migrations.migration("paused", resume_state="building")
    labels = lines(migration)
    assert labels["state"] == "paused (resumes with building)"
    assert labels["chunks"] == "812"
    assert "work" not in labels


def test_limits_are_shown_with_what_they_do():
    migration = migrations.migration(
        options={"max_rate": 50.0, "query_p95_ms": 20.0},
        progress={"pace": 0.4, "query_p95_ms": 18.44, "workers": 0},
    )
    assert lines(migration)["work"] == (
        "no worker, pace 40 %, at most 50/s, query p95 18.4 ms (slows down above 20 ms)"
    )
    assert text.limits(migration) == "at most 50/s, slower while query p95 is above 20 ms"
    assert text.limits(migrations.migration()) == "as fast as it can"


@pytest.mark.parametrize(
    ("lag", "expected"),
    [
        ({"pending": 0, "failed": 0}, "up to date"),
        ({"pending": 1200, "failed": 3}, "behind: 1,200 pending, 3 failed"),
    ],
)
def test_the_lag_of_the_old_index(lag, expected):
    until = "2026-11-28T07:00:00Z"
    migration = migrations.migration("soaking", lag=lag, retained_until=until)
    assert lines(migration)["old index"] == expected
    assert lines(migration)["kept until"] == output.timestamp(datetime.fromisoformat(until))
    assert expected in text.summary(migration)


def test_texts_that_failed_are_named_each_in_one_line():
    migration = migrations.migration(failed=WRONG, progress={"failed": 25})
    assert text.failed_lines(migration) == [
        "25 texts failed:",
        "  a/b: the text is empty",
        "  ... and 24 more",
    ]
    assert lines(migration)["documents"] == "420 of 1,000 (42 %), 25 failed"


def test_gates_and_history_have_a_line_each():
    gate = {"name": "recall", "limit": 0.98, "value": 0.9534, "passed": False, "detail": "1,000"}
    ndcg = {"name": "ndcg_drop", "limit": 0.02, "value": None, "passed": False, "detail": ""}
    verdict = {"passed": False, "gates": [gate, ndcg]}
    labels = text.describe(migrations.migration("blocked", verdict=verdict, error="recall"))
    assert "  recall 0.9534, at least 0.98, NOT PASSED: 1,000" in labels
    assert "  ndcg_drop not measured, at most 0.02, NOT PASSED" in labels
    assert "error:" not in "".join(labels)
    assert [line.split()[-1] for line in labels[labels.index("history:") + 1 :]] == [
        "planned",
        "backfilling",
        "blocked",
    ]


def test_a_reason_in_the_history_is_one_line():
    steps = migrations.history("planned", "failed")
    steps[-1]["why"] = "the\ndisk " + "is full " * 50
    line = text.history_line(migrations.migration("failed", history=steps).history[-1])
    assert line[21:].startswith("failed       the disk is full")
    assert line.endswith("…")
    assert len(line) < 140


def test_times_are_those_of_this_machine():
    local = datetime.fromisoformat("2026-11-27T07:05:00+00:00").astimezone()
    moment = datetime.fromisoformat("2026-11-27T07:05:00Z")
    assert output.timestamp(moment) == local.strftime("%Y-%m-%d %H:%M:%S")


def test_with_one_model_it_is_between_chunkings():
    chunking = {"strategy": "none", "size": None, "overlap": None}
    target = migrations.side(4, "bundled") | {"chunking": chunking}
    migration = migrations.migration(target=target)
    assert text.endpoints(migration) == ("chunking sentence, size 254, overlap 32", "chunking none")


def test_one_line_says_what_it_waits_for_and_what_is_built():
    migration = migrations.migration(
        "building",
        waiting="for room on the disk",
        progress={
            "rate": None,
            "eta_s": None,
            "pending": 2,
            "build": {"phase": "loading tuples", "share": 0.456},
        },
    )
    assert text.summary(migration) == (
        "default building: 420 of 1,000 documents (42 %), 2 pending, 812 chunks, "
        "loading tuples 45 %, waiting: for room on the disk"
    )


def test_an_empty_collection_is_wholly_done():
    migration = migrations.migration(progress={"documents": 0, "documents_done": 0})
    assert text.documents(migration) == "0 of 0 documents (100 %)"


def test_the_row_of_the_list():
    labels = show.row(migrations.migration("done"))
    assert len(labels) == len(show.COLUMNS)
    assert labels[:7] == ("0194-a", "default", "done", "bundled", "wordllama", "420 of 1,000", "0")
