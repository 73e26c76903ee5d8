"""Part `fire`: does a run with the command line's options and makes its table rows."""

import shutil

from benchmarks import configuration, metrics, table
from benchmarks.fire import faults, progress, repeated_work, scenario
from benchmarks.fire.options import RunOptions
from benchmarks.fire.result import RunResult

PART = "fire"
NONE = table.Target("figure", "<=", 0)
# The name of each kind of fault in the table, and what it means.
NAMES: dict[faults.Kind, tuple[str, str]] = {
    "stale": ("stale", "found by a text that isn't its own, or not found by its own"),
    "lost": ("lost", "an acknowledged write is gone"),
    "resurrected": ("resurrected", "a document is back after an acknowledged delete"),
    "duplicate": ("duplicate", "chunks that don't cover their text exactly once"),
    "mixed-space": ("mixed-space", "vectors or answers of the wrong space"),
    "missing": ("missing", "no vector in the active or retained index, and none pending"),
    "search-error": ("search errors outside restarts", "valid searches that failed"),
    "stalled": (
        "stalled",
        f"no progress within {progress.PATIENCE_S:.0f} s of a round of kills, or never completed",
    ),
    "died": ("died", "processes that exited on their own or did not stop cleanly"),
}


def run(config: configuration.Config) -> list[table.Row]:
    fire = config.fire
    options = RunOptions(
        documents=fire.documents,
        seconds=fire.seconds,
        soaking_s=fire.seconds / 5,
        seed=fire.seed,
        source=fire.source,
        target=fire.target,
        settings=config.settings,
        corpus=[document.whole for document in config.wordnet] if config.wordnet_folder else (),
    )
    folder = config.folder / PART
    shutil.rmtree(folder, ignore_errors=True)
    result = scenario.run(folder, options, config.log, cache=config.data_dir / "cache")
    (folder / "outcome.txt").write_text(f"{result}\n")
    config.log(f"{PART}: {result}")
    return rows(result, options)


def rows(result: RunResult, options: RunOptions) -> list[table.Row]:
    counts = faults.counts(result.faults)
    models = f"{options.source} to {options.target}"
    size = f"{options.documents:,} documents, {models}, seed {options.seed}"
    return [
        *(
            table.Row(PART, name, counts[kind], target=NONE, note=note)
            for kind, (name, note) in NAMES.items()
        ),
        _kills(result, size),
        _operations(result),
        table.Row(
            PART,
            "writes refused outside restarts",
            result.refused_writes(),
            note=f"states: {result.timeline()}",
        ),
        table.Row(
            PART,
            "chunks encoded but not written, most by one killed process",
            max(result.repeated, default=0),
            target=table.Target("figure", "<=", repeated_work.MAX_CHUNKS),
            note=f"{sum(result.repeated):,} in total, {result.encoded:,} encoded",
        ),
        _waiting(result),
        _searches(result),
    ]


def _kills(result: RunResult, size: str) -> table.Row:
    kills = result.kills()
    by_victim = ", ".join(f"{count} x {victim}" for victim, count in sorted(kills.items()))
    longest = f"ready again within {result.downtime_s():.1f} s"
    return table.Row(PART, "kills", sum(kills.values()), note=f"{by_victim}; {longest}; {size}")


def _operations(result: RunResult) -> table.Row:
    counts = result.operations()
    note = ", ".join(f"{count:,} x {kind}" for kind, count in counts.items())
    return table.Row(PART, "operations", sum(counts.values()), note=note)


def _waiting(result: RunResult) -> table.Row:
    by_state = {result.states[id_]: count for id_, count in result.waiting.items()}
    orphans = sum(result.orphans.values())
    note = ", ".join(f"{state}: {count}" for state, count in by_state.items())
    return table.Row(
        PART,
        "documents still waiting for vectors at the end",
        sum(by_state.values()),
        note=f"{note}; {orphans} rows that never count",
    )


def _searches(result: RunResult) -> table.Row:
    times = result.fire_ms()
    return table.Row(
        PART,
        "p99 of searches outside restarts",
        metrics.percentile(times, 99),
        unit="ms",
        beside="p99 before the migration",
        other=metrics.percentile(result.idle_ms(), 99),
        note=f"{len(times):,} searches, median {metrics.format_number(metrics.median(times))} ms, "
        f"{metrics.format_number(max(times))} at most",
    )
