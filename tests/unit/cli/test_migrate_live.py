"""A migration on a terminal and in a log while it runs."""

import io

from rich import console

from api.cli.migrate import live
from tests.unit.cli import migrations


def draw(migration, **more) -> list[str]:
    screen = console.Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    with screen.capture() as captured:
        screen.print(live.frame(migration, **more))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_frame_shows_progress():
    head, bar, *details = draw(migrations.migration())
    assert head == "default: bundled → wordllama  backfilling"
    assert bar.endswith("420 of 1,000 documents (42 %)")
    assert details == [
        "812 chunks, 120/s, about 5 min 03 s left",
        "1 worker, pace 100 %",
        "next: It is built next.",
    ]


def test_a_frame_shows_everything():
    migration = migrations.migration(
        "building",
        lag={"pending": 2, "failed": 0},
        waiting="for a search to end",
        error="[red]no room[/red]",
        progress={
            "failed": 3,
            "workers": 0,
            "query_p95_ms": 12.0,
            "build": {"phase": "loading tuples", "share": 0.5},
        },
    )
    lines = draw(migration, silence="connection refused")
    assert "index: loading tuples 50 %" in lines
    assert "query p95 12.0 ms" in lines
    assert "old index: behind: 2 pending" in lines
    assert "error: [red]no room[/red]" in lines
    assert "waiting: for a search to end" in lines
    assert "the service doesn't answer (connection refused); retrying" in lines
    assert any("3 failed" in line for line in lines)


def test_an_empty_collection_is_drawn_as_done():
    assert "0 of 0 documents (100 %)" in draw(migrations.migration(progress={"documents": 0}))[1]


def test_without_a_terminal_each_new_state_is_printed_once(capsys):
    view = live.LineView()
    view.show(migrations.migration())
    view.show(migrations.migration())
    passed = migrations.history("planned", "backfilling", "building", "verifying")
    passed[-1]["why"] = "all is built"
    view.show(migrations.migration("verifying", history=passed))
    printed = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in printed] == [
        "default backfilling",
        "default building",
        "default verifying",
    ]
    assert printed[-1].endswith("(all is built)")


def test_without_a_terminal_progress_is_printed_every_few_seconds(capsys, monkeypatch):
    monkeypatch.setattr("api.cli.progress.LINE_EVERY_S", 0.0)
    view = live.LineView()
    view.show(migrations.migration("backfilling", history=migrations.history("backfilling")))
    view.show(migrations.migration("backfilling", history=migrations.history("backfilling")))
    assert capsys.readouterr().err.count("420 of 1,000") == 2


def test_silence_and_its_end_are_each_printed_once(capsys):
    view = live.LineView()
    view.show(migrations.migration())
    for _ in range(3):
        view.show_silence("connection refused")
    view.show(migrations.migration())
    printed = capsys.readouterr().err
    assert printed.count("The service doesn't answer; retrying (connection refused)") == 1
    assert printed.count("The service answers again.") == 1
