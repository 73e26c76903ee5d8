"""Checks a backfill while documents are constantly deleted and recreated with other texts."""

import math
import time

from benchmarks import corpora, table
from benchmarks.fire import clients, preparation, snapshot, table_checks
from benchmarks.fire.context import Rates, RunContext
from benchmarks.fire.options import BUNDLED
from benchmarks.fire.writer import Writer
from benchmarks.reembed.migration_client import POLL_S, MigrationClient
from benchmarks.reembed.prepared_service import SENTENCE, PreparedService

PART = "reembed"
COLLECTION = "bench-reembed-recreation"
WRITERS = 4
# Per writer: few, so that each is recreated many times while one batch is encoded.
DOCUMENTS = 8
# Unlimited, the writes would starve the backfill on small machines: it has the lowest priority.
RATES = Rates(writers=WRITERS, writes_s=40)
# The backfill is throttled to this length, so that documents are recreated thousands of times.
BACKFILL_S = 75.0
EXTRA_S = 15.0
NONE = table.Target("figure", "<=", 0)


def rows(prepared: PreparedService, documents: list[corpora.Document]) -> list[table.Row]:
    """Migrate from WordLlama to the bundled model, whose backfill takes long enough."""
    context = RunContext(prepared.running.port, COLLECTION, seed=1, rates=RATES)
    prepared.config.log(f"{PART}: {WRITERS * DOCUMENTS} documents recreated during a backfill")
    with prepared.filled(COLLECTION, documents):
        prepared.warm()
        migration = MigrationClient.start(
            context.port,
            COLLECTION,
            BUNDLED,
            manual=True,
            chunking=SENTENCE,
            max_rate=len(documents) / BACKFILL_S,
        )
        _recreate(context, migration, len(documents))
        migration.wait_for("ready")
        tables = _read_tables(prepared)
        faults = list(table_checks.check_vectors(tables, preparation.embedder(context.port)))
    count = context.history.count(lambda write: write.kind == "put" and write.outcome == "ok")
    return [
        table.Row(
            PART,
            "recreated during a backfill: vectors of another text",
            len(faults),
            target=NONE,
            note=f"{WRITERS * DOCUMENTS} documents, deleted and recreated {count:,} times; "
            f"{sum(table_checks.orphans(tables).values())} rows that never count",
        )
    ]


def _recreate(context: RunContext, migration: MigrationClient, documents: int) -> None:
    """Recreate documents until the backfill ends, or for EXTRA_S after all others are done."""
    tasks = []
    for no in range(WRITERS):
        own = [f"w{no}-{document}" for document in range(DOCUMENTS)]
        tasks.append(Writer(context, f"w{no}", own, inserts=0).recreate_all)
    deadline = math.inf
    with clients.running(context, tasks):
        while time.monotonic() < deadline:
            status = migration.status()
            if status["state"] not in {"planned", "backfilling"}:
                break
            if deadline == math.inf and status["progress"]["documents_done"] >= documents:
                deadline = time.monotonic() + EXTRA_S
            time.sleep(POLL_S)


def _read_tables(prepared: PreparedService) -> snapshot.Snapshot:
    with snapshot.connected(prepared.running.data_dir) as sql:
        return snapshot.read(sql, COLLECTION)
