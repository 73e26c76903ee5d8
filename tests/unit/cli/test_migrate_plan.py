"""A plan as labels and values; sizes and times."""

import pytest

from api.cli import output
from api.cli.migrate import plan
from tests.unit.cli import migrations


def rows(**changed) -> dict[str, object]:
    return dict(plan.rows("default", migrations.plan(**changed)))


def test_a_plan_says_what_it_takes():
    labels = rows()
    assert labels["now"] == (
        "bundled, 384 dimensions, up to 256 tokens, chunking sentence, size 254, overlap 32"
    )
    assert "256 dimensions, no token limit" in str(labels["then"])
    assert labels["documents"] == "120,000, estimated from 300"
    assert labels["cut"] == "12 texts would be, without chunking"
    assert labels["time"] == "about 12 min (9 to 16)"
    assert labels["speed"] == "chunks up to 64 tokens 250/s (12,500 tokens/s)"
    assert labels["disk"] == (
        "1.3 GB at the peak (vectors 150 MB, HNSW 230 MB, write-ahead log 900 MB); 20 GB free"
    )
    assert labels["writes"] == (
        "each document takes 4.2 ms longer to encode and 1.8 ms longer to store "
        "until the old index is dropped"
    )
    assert labels["memory"] == "400 MB with the new model (90 MB), of 4 GB for models"


def test_what_was_read_completely_is_not_called_an_estimate():
    assert rows(documents=300)["documents"] == "300"


def test_too_little_space_is_reported():
    fields = migrations.plan_fields()
    disk, memory = fields["disk"] | {"fits": False}, fields["memory"] | {"fits": False}
    labels = rows(disk=disk, memory=memory)
    assert str(labels["disk"]).endswith("20 GB free: NOT ENOUGH")
    assert str(labels["memory"]).endswith("4 GB for models: NOT ENOUGH")


def test_an_unknown_disk_is_reported():
    disk = migrations.plan_fields()["disk"] | {"free_bytes": None, "fits": None}
    assert str(rows(disk=disk)["disk"]).endswith("free space unknown")


@pytest.mark.parametrize("change", ["none", "query-prompt"])
def test_what_embeds_nothing_has_no_costs(change):
    labels = rows(change=change, needed=False, detail="it is there already")
    assert labels["needed"] == "no: it is there already"
    assert "time" not in labels


def test_warnings_go_to_standard_error(capsys):
    plan.show("default", migrations.plan(warnings=["the disk is nearly full"]))
    printed = capsys.readouterr()
    assert printed.err == "Warning: the disk is nearly full\n"
    assert printed.out.splitlines()[0] == "collection: default"


@pytest.mark.parametrize(
    ("low", "likely", "high", "expected"),
    [
        (540, 720, 960, "about 12 min (9 to 16)"),
        (100, 140, 200, "about 2.3 min (1.7 to 3.3)"),
        (30, 40, 60, "about 40 s (30 to 60)"),
        (5, 5, 5, "about 5 s"),
        (0, 0, 0, "less than a second"),
        (5400, 7200, 10800, "about 2 h (1.5 to 3)"),
        (90_000, 180_000, 260_000, "about 2.1 d (1 to 3)"),
    ],
)
def test_a_span_of_time(low, likely, high, expected):
    assert output.span(low, likely, high) == expected


def test_100_percent_means_all_is_done():
    assert output.share(9_999, 10_000) == "99 %"
    assert output.share(10_000, 10_000) == "100 %"
