"""Judges a whole run by its history and by what the tables hold in the end."""

from benchmarks.fire import answers, progress, tables
from benchmarks.fire.cutover import Cutover
from benchmarks.fire.faults import Fault
from benchmarks.fire.history import History
from benchmarks.fire.stored import Stored
from benchmarks.fire.windows import Windows


def judge(history: History, stored: Stored, embed: tables.Embed, cutover: Cutover) -> list[Fault]:
    """Every fault; a document may show up by more than one."""
    windows = Windows.of(history.kills)
    return [
        *answers.judge(history, windows, cutover),
        *tables.judge(stored, history, embed),
        *progress.judge(history),
        *(Fault("died", what) for what in history.deaths),
    ]
