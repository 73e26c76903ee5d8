"""The part `fire` of the benchmarks: the figures of one run."""

import shutil

from benchmarks import metrics, plan, table
from benchmarks.fire import faults, progress, repeated
from benchmarks.fire import run as runs
from benchmarks.fire.outcome import Outcome
from benchmarks.fire.wish import Wish

PART = "fire"
NONE = table.Target("figure", "<=", 0)
# What each kind of fault is called in the table, and what it says.
NAMES: dict[faults.Kind, tuple[str, str]] = {
    "stale": ("stale", "found by another text than its own, or not by its own"),
    "lost": ("lost", "an acknowledged write that is not there"),
    "resurrected": ("resurrected", "an acknowledged delete that is there again"),
    "duplicate": ("duplicate", "chunks that do not fit their text, each once"),
    "mixed-space": ("mixed-space", "vectors or answers of a space that cannot be"),
    "missing": ("missing", "no vector in the active or the retained index, none pending"),
    "search-error": ("search errors outside restarts", "valid searches without an answer"),
    "stalled": (
        "stalled",
        f"no progress in {progress.PATIENCE_S:.0f} s after kills, or no end",
    ),
    "died": ("died", "processes that ended by themselves, or not cleanly"),
}


def run(what: plan.Plan) -> list[table.Row]:
    fire = what.fire
    wish = Wish(
        documents=fire.documents,
        seconds=fire.seconds,
        soaking_s=fire.seconds / 5,
        seed=fire.seed,
        source=fire.source,
        target=fire.target,
        settings=what.settings,
        corpus=[one.whole for one in what.wordnet] if what.wordnet_folder else (),
    )
    folder = what.folder / PART
    shutil.rmtree(folder, ignore_errors=True)
    outcome = runs.fire(folder, wish, what.say, cache=what.data_dir / "cache")
    (folder / "outcome.txt").write_text(f"{outcome}\n")
    what.say(f"{PART}: {outcome}")
    return rows(outcome, wish)


def rows(outcome: Outcome, wish: Wish) -> list[table.Row]:
    counts = faults.counts(outcome.faults)
    size = f"{wish.documents:,} documents, {wish.source} to {wish.target}, seed {wish.seed}"
    return [
        *(
            table.Row(PART, name, counts[kind], target=NONE, note=note)
            for kind, (name, note) in NAMES.items()
        ),
        _kills(outcome, size),
        _operations(outcome),
        table.Row(
            PART,
            "writes refused outside restarts",
            outcome.refused_writes(),
            note=f"states: {outcome.timeline()}",
        ),
        table.Row(
            PART,
            "chunks encoded but not written, of one killed process",
            max(outcome.repeated, default=0),
            target=table.Target("figure", "<=", repeated.MOST),
            note=f"{sum(outcome.repeated):,} in all, {outcome.encoded:,} encoded",
        ),
        _waiting(outcome),
        _searches(outcome),
    ]


def _kills(outcome: Outcome, size: str) -> table.Row:
    kills = outcome.kills()
    by_victim = ", ".join(f"{count} x {victim}" for victim, count in sorted(kills.items()))
    longest = f"ready again after {outcome.downtime_s():.1f} s at most"
    return table.Row(PART, "kills", sum(kills.values()), note=f"{by_victim}; {longest}; {size}")


def _operations(outcome: Outcome) -> table.Row:
    counts = outcome.operations()
    note = ", ".join(f"{count:,} x {what}" for what, count in counts.items())
    return table.Row(PART, "operations", sum(counts.values()), note=note)


def _waiting(outcome: Outcome) -> table.Row:
    by_state = {outcome.states[id_]: count for id_, count in outcome.lacking.items()}
    orphans = sum(outcome.orphans.values())
    note = ", ".join(f"{state}: {count}" for state, count in by_state.items())
    return table.Row(
        PART,
        "documents that wait for vectors at the end",
        sum(by_state.values()),
        note=f"{note}; {orphans} rows that never count",
    )


def _searches(outcome: Outcome) -> table.Row:
    times = outcome.fire_ms()
    return table.Row(
        PART,
        "p99 of searches outside restarts",
        metrics.percentile(times, 99),
        unit="ms",
        beside="p99 before the migration",
        other=metrics.percentile(outcome.idle_ms(), 99),
        note=f"{len(times):,} searches, median {metrics.figure(metrics.median(times))} ms, "
        f"{metrics.figure(max(times))} at most",
    )
