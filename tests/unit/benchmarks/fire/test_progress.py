"""Whether the migration went on, and what was done twice, by what was seen of it."""

import json

import pytest

from benchmarks.fire import progress, repeated
from benchmarks.fire.history import History, Look


def looks(*seen):
    return [
        Look(invoked=at, answered=at, state=state, documents=done, chunks=done)
        for at, state, done in seen
    ]


def kinds(*seen, stalls=()):
    made = History(looks=looks(*seen), stalls=list(stalls))
    return [fault.kind for fault in progress.judge(made)]


def test_coming_to_its_end_is_all_that_is_asked():
    assert kinds((0, "backfilling", 0), (40, "building", 1), (400, "soaking", 1)) == []


def test_what_the_killer_saw_stand_still_is_a_fault():
    assert kinds((0, "soaking", 5), stalls=["no progress"]) == ["stalled"]


@pytest.mark.parametrize("state", ["failed", "blocked", "cancelled"])
def test_it_must_not_give_up(state):
    assert kinds((0, "backfilling", 5), (1, state, 5)) == ["stalled", "stalled"]


def test_it_must_come_to_its_end():
    assert kinds((0, "backfilling", 5), (1, "verifying", 5)) == ["stalled"]


def test_only_going_further_than_ever_is_progress():
    seen = looks((0, "backfilling", 5), (1, "backfilling", 3), (2, "backfilling", 5))
    assert progress.reached(seen) == progress.reached(seen[:1])
    assert progress.reached([*seen, *looks((3, "building", 0))]) > progress.reached(seen)
    assert progress.reached([]) < progress.reached(seen)


def test_the_longest_wait_ends_with_the_cut_over():
    seen = looks((0, "backfilling", 5), (3, "backfilling", 5), (4, "verifying", 5))
    assert progress.longest_wait(seen) == (4, seen[-1])
    assert progress.longest_wait([*seen, *looks((9, "soaking", 5), (99, "soaking", 5))])[0] == 4


def line(event, batch, chunks=64):
    return json.dumps({"event": event, "batch": batch, "chunks": chunks, "migration": "m"})


def test_chunks_that_were_encoded_but_not_written():
    log = [
        "     0.2 s  starting PostgreSQL",
        line("backfill_encoded", "a"),
        line("backfill_encoded", "b", 10),
        line("backfill_written", "a"),
        line("backfill_encoded", "c", 7),
        line("migration_moved", "m"),
        '{"event": "backfill_wri',
    ]
    assert repeated.chunks(log) == 17
    assert repeated.chunks(log[:2]) == 64
    assert repeated.chunks([]) == 0


def test_all_that_was_encoded_is_summed_up(tmp_path):
    for no in range(2):
        (tmp_path / f"{no}.log").write_text(f"{line('backfill_encoded', 'a', 5)}\n")
    assert repeated.encoded(tmp_path.iterdir()) == 10
