"""Checks a whole run: its history, and what the tables contain at the end."""

from benchmarks.fire import progress, search_checks, table_checks
from benchmarks.fire.cutover import Cutover
from benchmarks.fire.faults import Fault
from benchmarks.fire.history import History
from benchmarks.fire.restart_windows import RestartWindows
from benchmarks.fire.snapshot import Snapshot


def check(
    history: History, snapshot: Snapshot, embed: table_checks.Embed, cutover: Cutover
) -> list[Fault]:
    """Find all faults; one document may have several."""
    windows = RestartWindows.of(history.kills)
    return [
        *search_checks.check(history, windows, cutover),
        *table_checks.check(snapshot, history, embed),
        *progress.check(history),
        *(Fault("died", description) for description in history.deaths),
    ]
