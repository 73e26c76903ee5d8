"""Checks of a migration's progress and of repeated work."""

import json

import pytest

from benchmarks.fire import progress, repeated_work
from benchmarks.fire.history import History, Observation


def observe(*seen):
    return [
        Observation(invoked=at, answered=at, state=state, documents=done, chunks=done)
        for at, state, done in seen
    ]


def kinds(*seen, stalls=()):
    record = History(observations=observe(*seen), stalls=list(stalls))
    return [fault.kind for fault in progress.check(record)]


def test_a_completed_migration_has_no_faults():
    assert kinds((0, "backfilling", 0), (40, "building", 1), (400, "soaking", 1)) == []


def test_a_stall_seen_by_the_killer_is_a_fault():
    assert kinds((0, "soaking", 5), stalls=["no progress"]) == ["stalled"]


@pytest.mark.parametrize("state", ["failed", "blocked", "cancelled"])
def test_a_failed_migration_is_a_fault(state):
    assert kinds((0, "backfilling", 5), (1, state, 5)) == ["stalled", "stalled"]


def test_an_unfinished_migration_is_a_fault():
    assert kinds((0, "backfilling", 5), (1, "verifying", 5)) == ["stalled"]


def test_only_a_new_maximum_is_progress():
    seen = observe((0, "backfilling", 5), (1, "backfilling", 3), (2, "backfilling", 5))
    assert progress.reached(seen) == progress.reached(seen[:1])
    assert progress.reached([*seen, *observe((3, "building", 0))]) > progress.reached(seen)
    assert progress.reached([]) < progress.reached(seen)


def test_the_longest_wait_ends_with_the_cutover():
    seen = observe((0, "backfilling", 5), (3, "backfilling", 5), (4, "verifying", 5))
    assert progress.longest_wait(seen) == (4, seen[-1])
    assert progress.longest_wait([*seen, *observe((9, "soaking", 5), (99, "soaking", 5))])[0] == 4


def line(event, batch, chunks=64):
    return json.dumps({"event": event, "batch": batch, "chunks": chunks, "migration": "m"})


def test_encoded_but_unwritten_chunks_are_counted():
    log = [
        "     0.2 s  starting PostgreSQL",
        line("backfill_encoded", "a"),
        line("backfill_encoded", "b", 10),
        line("backfill_written", "a"),
        line("backfill_encoded", "c", 7),
        line("migration_moved", "m"),
        '{"event": "backfill_wri',
    ]
    assert repeated_work.unwritten_chunks(log) == 17
    assert repeated_work.unwritten_chunks(log[:2]) == 64
    assert repeated_work.unwritten_chunks([]) == 0


def test_encoded_chunks_are_summed_over_all_logs(tmp_path):
    for no in range(2):
        (tmp_path / f"{no}.log").write_text(f"{line('backfill_encoded', 'a', 5)}\n")
    assert repeated_work.encoded_chunks(tmp_path.iterdir()) == 10
