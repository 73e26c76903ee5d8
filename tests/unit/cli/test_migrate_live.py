import io

from rich import console

from api.cli.migrate import live
from tests.unit.cli import migrations


def drawn(found, **more) -> list[str]:
    screen = console.Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    with screen.capture() as captured:
        screen.print(live.frame(found, **more))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_frame_shows_how_far_it_is():
    head, bar, *details = drawn(migrations.migration())
    assert head == "default: bundled → wordllama  backfilling"
    assert bar.endswith("420 of 1,000 documents (42 %)")
    assert details == [
        "812 chunks, 120/s, about 5 min 03 s left",
        "1 worker, pace 100 %",
        "next: It is built next.",
    ]


def test_a_frame_shows_all_that_is_to_be_known():
    found = migrations.migration(
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
    shown = drawn(found, silence="connection refused")
    assert "index: loading tuples 50 %" in shown
    assert "query p95 12.0 ms" in shown
    assert "old index: behind: 2 pending" in shown
    assert "error: [red]no room[/red]" in shown
    assert "waiting: for a search to end" in shown
    assert "the service doesn't answer (connection refused); retrying" in shown
    assert any("3 failed" in line for line in shown)


def test_an_empty_collection_is_drawn_as_done():
    assert "0 of 0 documents (100 %)" in drawn(migrations.migration(progress={"documents": 0}))[1]


def test_without_a_terminal_each_state_from_now_on_is_told_once(capsys):
    shown = live.LineView()
    shown.show(migrations.migration())
    shown.show(migrations.migration())
    passed = migrations.history("planned", "backfilling", "building", "verifying")
    passed[-1]["why"] = "all is built"
    shown.show(migrations.migration("verifying", history=passed))
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in said] == [
        "default backfilling",
        "default building",
        "default verifying",
    ]
    assert said[-1].endswith("(all is built)")


def test_without_a_terminal_it_is_told_again_after_a_while(capsys, monkeypatch):
    monkeypatch.setattr("api.cli.progress.LINE_EVERY_S", 0.0)
    shown = live.LineView()
    shown.show(migrations.migration("backfilling", history=migrations.history("backfilling")))
    shown.show(migrations.migration("backfilling", history=migrations.history("backfilling")))
    assert capsys.readouterr().err.count("420 of 1,000") == 2


def test_silence_is_told_once_and_so_is_its_end(capsys):
    shown = live.LineView()
    shown.show(migrations.migration())
    for _ in range(3):
        shown.show_silence("connection refused")
    shown.show(migrations.migration())
    said = capsys.readouterr().err
    assert said.count("The service doesn't answer; retrying (connection refused)") == 1
    assert said.count("The service answers again.") == 1
