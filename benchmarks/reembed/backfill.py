"""Measures a backfill, alone and during searches, and how much it slows the searches down."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks import bare_encoder, corpora, metrics, table
from benchmarks.fire.options import BUNDLED
from benchmarks.reembed import background_searches, migration_client
from benchmarks.reembed.migration_client import MigrationClient
from benchmarks.reembed.prepared_service import SENTENCE, PreparedService

PART = "reembed"
COLLECTION = "bench-reembed-backfill"
IDLE_S = 15.0
# Enough to find the encoder's best batch size on this machine.
SIZED_TEXTS = 128
BESIDE_BARE = table.Target("figure", "<=", 1.1)
OVER_IDLE = table.Target("ratio", "<=", 3.0)
RATE_KEPT = table.Target("ratio", ">=", 0.85)


@dataclass
class Times:
    """Seconds per backfill; milliseconds per search, idle and during a backfill.

    `encoder`: seconds of the bare encoder, the mean of a run right before and right after `alone`.
    """

    alone: list[float] = field(default_factory=list)
    encoder: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    idle_ms: list[float] = field(default_factory=list)
    beside_ms: list[float] = field(default_factory=list)


def rows(prepared: PreparedService, documents: list[corpora.Document]) -> list[table.Row]:
    """Migrate from WordLlama to the bundled model repeatedly, alternating all measurements."""
    config, times = prepared.config, Times()
    job = _sized(
        bare_encoder.Job(
            [document.whole for document in documents], str(config.data_dir), "sentence"
        )
    )
    with prepared.filled(COLLECTION, documents):
        prepared.warm()
        for no in range(1, config.runs + 1):
            config.log(f"{PART}, run {no} of {config.runs}: {len(documents):,} documents, alone")
            _alone(prepared, job, times)
            config.log(f"{PART}, run {no} of {config.runs}: the same during searches")
            _beside(prepared, times)
    return [*_rates(times, job), *_noticed(times)]


def _sized(job: bare_encoder.Job) -> bare_encoder.Job:
    """The job with the batch size that is fastest on this machine."""
    by_rows = bare_encoder.rates(replace(job, texts=job.texts[:SIZED_TEXTS])).by_rows
    return replace(job, batch_rows=(int(max(by_rows, key=by_rows.__getitem__)),))


def _alone(prepared: PreparedService, job: bare_encoder.Job, times: Times) -> None:
    """Backfill between two runs of the bare encoder: a machine's speed drifts within minutes."""
    before = bare_encoder.rates(job)
    times.alone.append(migration_client.seconds_in(_backfill(prepared), "backfilling"))
    after = bare_encoder.rates(job)
    times.encoder.append(metrics.mean([len(job.texts) / rates.best for rates in (before, after)]))


def _backfill(prepared: PreparedService) -> dict[str, Any]:
    """Migrate until `ready` and return that status; then cancel the migration."""
    migration = MigrationClient.start(
        prepared.running.port, COLLECTION, BUNDLED, manual=True, chunking=SENTENCE
    )
    status = migration.wait_for("ready")
    migration.perform("cancel")
    return status


def _beside(prepared: PreparedService, times: Times) -> None:
    claims, port = prepared.config.claims, prepared.running.port
    with background_searches.running(port, COLLECTION, claims) as idle:
        time.sleep(IDLE_S)
    with background_searches.running(port, COLLECTION, claims) as beside:
        status = _backfill(prepared)
    times.idle_ms += [search.ms for search in idle.finished]
    times.beside_ms += [
        search.ms for search in beside.between(*migration_client.span(status, "backfilling"))
    ]
    times.beside.append(migration_client.seconds_in(status, "backfilling"))


def _rates(times: Times, job: bare_encoder.Job) -> list[table.Row]:
    documents = len(job.texts)
    ratios = [own / other for own, other in zip(times.alone, times.encoder, strict=True)]
    return [
        table.Row(
            PART,
            f"backfill of {documents:,} documents to MiniLM, one worker / the bare encoder",
            metrics.median(ratios),
            target=BESIDE_BARE,
            note=f"{metrics.format_runs(ratios)}; {metrics.format_range(times.alone)} s vs "
            f"{metrics.format_range(times.encoder)} s with batches of {job.batch_rows[0]}",
        ),
        table.Row(
            PART,
            "its rate during searches",
            documents / metrics.median(times.beside),
            unit="docs/s",
            beside="alone",
            other=documents / metrics.median(times.alone),
            target=RATE_KEPT,
            note=f"{metrics.format_range(times.beside)} s; "
            f"{background_searches.PER_SECOND:g} searches per second",
        ),
    ]


def _noticed(times: Times) -> list[table.Row]:
    return [
        table.Row(
            PART,
            f"{name} of searches while the backfill runs",
            measure(times.beside_ms),
            unit="ms",
            beside="the same, idle",
            other=measure(times.idle_ms),
            target=target,
            note=f"{len(times.beside_ms)} searches vs {len(times.idle_ms)}",
        )
        for name, measure, target in (
            ("median", metrics.median, None),
            ("p99", lambda times: metrics.percentile(times, 99), OVER_IDLE),
        )
    ]
