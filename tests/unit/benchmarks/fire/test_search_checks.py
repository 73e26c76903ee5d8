"""The search checks find every kind of fault in answers and report no false ones."""

import math

import pytest

from benchmarks.fire import search_checks
from benchmarks.fire.cutover import Cutover
from benchmarks.fire.history import Kill, Observation
from benchmarks.fire.restart_windows import RestartWindows
from tests.unit.benchmarks.fire.conftest import (
    EVERYWHERE,
    NEW,
    OLD,
    delete,
    history,
    patch,
    put,
    search,
)


def kinds(*events, cutover=EVERYWHERE, kills=()):
    windows = RestartWindows.of(kills, grace_s=2)
    return [fault.kind for fault in search_checks.check(history(*events), windows, cutover)]


@pytest.mark.parametrize(
    "events",
    [
        [put("a", 1, 2), search(3, 4, "a")],
        [put("a", 1, 2), put("b", 3, 6), search(4, 5, "a"), search(4, 5, "b")],
        [put("a", 1, 2), delete(3, 6), search(4, 5, "a"), search(7, 8)],
        [put("a", 1, 2), put("b", 3, 4, "unknown"), search(5, 6, "a"), search(5, 6, "b")],
        [put("a", 1, 2), search(3, 4, doc="d", query="a")],
        [put("a", 1, 2), put("b", 3, 6), search(4, 5, doc="d", query="a", exact=True)],
        [put("a", 1, 2), delete(3, 4), delete(5, 6, status=404), patch(1, 7, 8, "failed", 404)],
        [put("a", 1, 2), delete(3, 4, "unknown"), delete(5, 6, status=404)],
    ],
)
def test_correct_answers_have_no_faults(events):
    assert kinds(*events) == []


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        # Found by a text that was replaced before the search was sent.
        ([put("a", 1, 2), put("b", 3, 4), search(5, 6, "a")], "stale"),
        ([put("a", 1, 2), put("b", 3, 4), search(2.1, 2.9, "b")], "stale"),
        ([put("a", 1, 2), patch(3, 3, 4), search(5, 6, "a")], "stale"),
        # Stored, but not found by its own text.
        ([put("a", 1, 2), search(3, 4, ("e", "x"), doc="d", query="a", exact=True)], "stale"),
        ([put("a", 1, 2), delete(3, 4), search(5, 6, "a")], "resurrected"),
        ([put("a", 1, 2), delete(3, 4), put("b", 7, 8), search(5, 6, "a")], "resurrected"),
        ([search(5, 6, ("nobody's", "a"))], "resurrected"),
        ([put("a", 1, 2), search(3, 4, "a", "a")], "duplicate"),
        ([put("a", 1, 2), delete(3, 4, status=404)], "lost"),
        ([put("a", 1, 2), patch(1, 3, 4, "failed", 404)], "lost"),
    ],
)
def test_wrong_answers_are_faults(events, kind):
    fault_kinds = kinds(*events, put("x", 0, 0.1, doc="e"))
    assert kind in fault_kinds
    assert set(fault_kinds) <= {kind, "stale"}


def test_spaces_and_indexes_belong_together():
    assert kinds(search(150, 151, side=OLD), search(150, 151, side=NEW)) == []
    wrong = search(150, 151, side=OLD, space=NEW.space)
    assert kinds(wrong, search(150, 151, side=OLD, index=9)) == ["mixed-space"] * 2


def test_after_the_cutover_was_seen_only_the_new_space_answers():
    assert kinds(search(199, 201, side=OLD), search(201, 202, side=NEW)) == []
    assert kinds(search(201, 202, side=OLD)) == ["mixed-space"]


def test_before_the_cutover_only_the_old_space_answers():
    assert kinds(search(98, 99, side=OLD), search(99, 101, side=NEW)) == []
    assert kinds(search(98, 99, side=NEW)) == ["mixed-space"]


def test_expect_space_is_refused_only_if_another_space_could_answer():
    refused = {"status": 409, "expects": NEW.space}
    assert kinds(search(98, 99, **refused), search(150, 151, **refused)) == []
    assert kinds(search(201, 202, **refused)) == ["mixed-space"]
    assert kinds(search(150, 151, side=OLD, expects=NEW.space)) == ["mixed-space"]


def test_the_cutover_time_is_derived_from_observations():
    observations = [
        Observation(invoked=at, answered=at + 1, state=state)
        for at, state in [(1, "backfilling"), (3, "ready"), (5, "cutting"), (7, "soaking")]
    ]
    cutover = Cutover.of(OLD, NEW, observations)
    assert (cutover.not_before, cutover.known) == (3, 8)
    assert Cutover.of(OLD, NEW, []).known == math.inf


def test_errors_are_excused_while_the_service_restarts():
    kills = [
        Kill(victim="api", pid=1, at=10, back=14),
        Kill(victim="postgres", pid=2, at=30, back=31),
    ]
    excused = [search(9, 10.5, status=0), search(15, 15.5, status=503), search(32, 35, status=500)]
    assert kinds(*excused, kills=kills) == []
    assert kinds(search(17, 18, status=503), search(33.5, 34, status=0), kills=kills) == [
        "search-error",
        "search-error",
    ]


def test_killing_a_worker_excuses_nothing():
    kills = [Kill(victim="worker-1", pid=1, at=10, back=14)]
    assert kinds(search(11, 12, status=503), kills=kills) == ["search-error"]


@pytest.mark.parametrize("status", [400, 404, 409, 422, 429])
def test_a_valid_search_is_not_refused(status):
    assert kinds(search(1, 2, status=status)) == ["search-error"]
