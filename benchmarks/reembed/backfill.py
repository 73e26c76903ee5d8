"""How long a backfill takes, alone and beside searches, and what the searches notice of it."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks import bare, corpora, metrics, table
from benchmarks.fire.wish import BUNDLED
from benchmarks.reembed import migrating, searches
from benchmarks.reembed.migrating import Migration
from benchmarks.reembed.stage import SENTENCE, Stage

PART = "reembed"
COLLECTION = "bench-reembed-backfill"
IDLE_S = 15.0
# Enough to tell which batch size suits the encoder here.
SIZED_TEXTS = 128
BESIDE_BARE = table.Target("figure", "<=", 1.1)
OVER_IDLE = table.Target("ratio", "<=", 3.0)
RATE_KEPT = table.Target("ratio", ">=", 0.85)


@dataclass
class Times:
    """Seconds of each backfill; milliseconds of each search, idle ones and those beside it.

    `encoder`: seconds of the bare encoder, the mean of right before and right after `alone`.
    """

    alone: list[float] = field(default_factory=list)
    encoder: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    idle_ms: list[float] = field(default_factory=list)
    beside_ms: list[float] = field(default_factory=list)


def rows(stage: Stage, documents: list[corpora.Document]) -> list[table.Row]:
    """WordLlama to the bundled model, again and again; all takes turns."""
    what, found = stage.what, Times()
    job = _sized(bare.Job([one.whole for one in documents], str(what.data_dir), "sentence"))
    with stage.filled(COLLECTION, documents):
        stage.warm()
        for no in range(1, what.runs + 1):
            what.say(f"{PART}, run {no} of {what.runs}: {len(documents):,} documents, alone")
            _alone(stage, job, found)
            what.say(f"{PART}, run {no} of {what.runs}: the same beside searches")
            _beside(stage, found)
    return [*_rates(found, job), *_noticed(found)]


def _sized(job: bare.Job) -> bare.Job:
    """With the rows of a batch that are fastest here."""
    by_rows = bare.rates(replace(job, texts=job.texts[:SIZED_TEXTS])).by_rows
    return replace(job, batch_rows=(int(max(by_rows, key=by_rows.__getitem__)),))


def _alone(stage: Stage, job: bare.Job, found: Times) -> None:
    """Between two runs of the bare encoder, since a machine's speed drifts within minutes."""
    before = bare.rates(job)
    found.alone.append(migrating.seconds_in(_backfill(stage), "backfilling"))
    after = bare.rates(job)
    found.encoder.append(metrics.mean([len(job.texts) / one.best for one in (before, after)]))


def _backfill(stage: Stage) -> dict[str, Any]:
    """A migration as it is when it is ready; then it is cancelled."""
    migration = Migration.begin(
        stage.running.port, COLLECTION, BUNDLED, manual=True, chunking=SENTENCE
    )
    shown = migration.until("ready")
    migration.act("cancel")
    return shown


def _beside(stage: Stage, found: Times) -> None:
    claims, port = stage.what.claims, stage.running.port
    with searches.beside(port, COLLECTION, claims) as idle:
        time.sleep(IDLE_S)
    with searches.beside(port, COLLECTION, claims) as made:
        shown = _backfill(stage)
    found.idle_ms += [one.ms for one in idle.found]
    found.beside_ms += [one.ms for one in made.between(*migrating.span(shown, "backfilling"))]
    found.beside.append(migrating.seconds_in(shown, "backfilling"))


def _rates(found: Times, job: bare.Job) -> list[table.Row]:
    documents = len(job.texts)
    ratios = [own / other for own, other in zip(found.alone, found.encoder, strict=True)]
    return [
        table.Row(
            PART,
            f"backfill of {documents:,} documents to MiniLM, one worker / the bare encoder",
            metrics.median(ratios),
            target=BESIDE_BARE,
            note=f"{metrics.runs(ratios)}; {metrics.spread(found.alone)} s beside "
            f"{metrics.spread(found.encoder)} s at {job.batch_rows[0]} a batch",
        ),
        table.Row(
            PART,
            "its rate beside searches",
            documents / metrics.median(found.beside),
            unit="docs/s",
            beside="alone",
            other=documents / metrics.median(found.alone),
            target=RATE_KEPT,
            note=f"{metrics.spread(found.beside)} s; {searches.A_SECOND:g} searches a second",
        ),
    ]


def _noticed(found: Times) -> list[table.Row]:
    return [
        table.Row(
            PART,
            f"{name} of searches while the backfill runs",
            measure(found.beside_ms),
            unit="ms",
            beside="the same, idle",
            other=measure(found.idle_ms),
            target=target,
            note=f"{len(found.beside_ms)} searches beside {len(found.idle_ms)}",
        )
        for name, measure, target in (
            ("median", metrics.median, None),
            ("p99", lambda times: metrics.percentile(times, 99), OVER_IDLE),
        )
    ]
