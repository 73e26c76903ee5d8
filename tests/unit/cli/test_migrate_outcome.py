"""When a migration is over, its exit code, and what is printed."""

import pytest

from api.cli.migrate import outcome
from tests.unit.cli import migrations

RUNNING = ("planned", "backfilling", "building", "verifying", "cutting", "paused", "ready")


@pytest.mark.parametrize("state", [*RUNNING, "soaking", "done"])
def test_running_and_successful_migrations_exit_with_0(state):
    assert outcome.exit_code(migrations.migration(state)) == 0


@pytest.mark.parametrize(
    ("state", "code"), [("blocked", 3), ("failed", 4), ("cancelled", 5), ("rolled_back", 5)]
)
def test_what_did_not_go_through_has_its_code(state, code):
    migration = migrations.migration(state)
    assert outcome.exit_code(migration) == code
    assert outcome.is_over(migration)
    assert outcome.is_over(migration, "end")


@pytest.mark.parametrize("state", RUNNING)
def test_what_runs_is_watched_on(state):
    assert not outcome.is_over(migrations.migration(state))


def test_it_is_watched_to_the_cutover_or_to_its_end():
    migration = migrations.migration("soaking")
    assert outcome.is_over(migration)
    assert not outcome.is_over(migration, "end")


def test_one_that_waits_for_its_owner_is_over_when_ready():
    migration = migrations.migration("ready", options={"manual": True})
    assert outcome.is_over(migration)
    assert not outcome.is_over(migration, "end")


def test_a_cutover_requested_while_blocked_is_not_over_yet():
    requested = migrations.migration("blocked")
    is_over = outcome.CutoverOver(len(requested.history))
    assert not is_over(requested)
    again = migrations.history("planned", "blocked", "cutting", "blocked")
    assert is_over(migrations.migration("blocked", history=again))
    assert is_over(migrations.migration("soaking"))
    assert not is_over(migrations.migration("ready", options={"manual": True}))


def test_a_rollback_that_did_not_come_about_is_a_failure():
    assert outcome.rollback_exit_code(migrations.migration("rolled_back")) == 0
    assert outcome.rollback_exit_code(migrations.migration("failed")) == 4
    assert outcome.rollback_exit_code(migrations.migration("done")) == 1


def test_a_cutover_is_reported_with_its_duration():
    passed = migrations.history("planned", "backfilling", "ready", "cutting", "soaking")
    migration = migrations.migration("soaking", next="Roll back until tomorrow.", history=passed)
    assert list(outcome.describe(migration)) == [
        "default: cut over; searches now use wordllama.",
        "420 documents, 812 chunks, ready after 2 min 00 s.",
        "Roll back until tomorrow.",
    ]


def test_an_error_is_shown_if_the_gates_do_not_show_it():
    migration = migrations.migration("failed", error="the disk is full.")
    first, *_ = outcome.describe(migration)
    assert first == "default: failed; searches still use bundled: the disk is full."


def test_a_blocked_migration_shows_its_gates_and_texts():
    gate = {"name": "recall", "limit": 0.98, "value": 0.95, "passed": False, "detail": "exact"}
    migration = migrations.migration(
        "blocked",
        error="2 reasons.",
        verdict={"passed": False, "gates": [gate]},
        failed=[{"id": "a", "reason": "no text"}],
        next="Force it or cancel it.",
    )
    assert list(outcome.describe(migration)) == [
        "default: blocked; searches still use bundled.",
        "  recall 0.95, at least 0.98, NOT PASSED: exact",
        "1 text failed:",
        "  a: no text",
        "Force it or cancel it.",
    ]
