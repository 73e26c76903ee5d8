"""Documents deleted and made again with other texts all the time while a backfill runs."""

import math
import time

from benchmarks import corpora, table
from benchmarks.fire import clients, stored, tables
from benchmarks.fire import stage as fire
from benchmarks.fire.scene import Rates, Scene
from benchmarks.fire.wish import BUNDLED
from benchmarks.fire.writer import Writer
from benchmarks.reembed.migrating import EVERY_S, Migration
from benchmarks.reembed.stage import SENTENCE, Stage

PART = "reembed"
COLLECTION = "bench-reembed-recreation"
WRITERS = 4
# Of each writer: few, so that each is made anew many times while one batch is encoded.
DOCUMENTS = 8
# As fast as they are answered would leave a backfill, which is the last in the queue for the CPUs,
# no time on small machines.
RATES = Rates(writers=WRITERS, writes_s=40)
# A backfill that is held back to this lets them be made again thousands of times.
LASTS_S = 75.0
LEFT_S = 15.0
NONE = table.Target("figure", "<=", 0)


def rows(stage: Stage, documents: list[corpora.Document]) -> list[table.Row]:
    """WordLlama to the bundled model, whose backfill takes long enough."""
    scene = Scene(stage.running.port, COLLECTION, seed=1, rates=RATES)
    stage.what.say(f"{PART}: {WRITERS * DOCUMENTS} documents made again and again in a backfill")
    with stage.filled(COLLECTION, documents):
        stage.warm()
        migration = Migration.begin(
            scene.port,
            COLLECTION,
            BUNDLED,
            manual=True,
            chunking=SENTENCE,
            max_rate=len(documents) / LASTS_S,
        )
        _recreate(scene, migration, len(documents))
        migration.until("ready")
        found = _found(stage)
        wrong = list(tables.vectors(found, fire.embedder(scene.port)))
    count = scene.history.count(lambda one: one.kind == "put" and one.outcome == "ok")
    return [
        table.Row(
            PART,
            "recreated during a backfill: vectors of another text",
            len(wrong),
            target=NONE,
            note=f"{WRITERS * DOCUMENTS} documents, {count:,} times deleted and made again; "
            f"{sum(tables.orphans(found).values())} rows that never count",
        )
    ]


def _recreate(scene: Scene, migration: Migration, documents: int) -> None:
    """Until the backfill is over, or has only them left to do for a while."""
    work = []
    for no in range(WRITERS):
        own = [f"w{no}-{one}" for one in range(DOCUMENTS)]
        work.append(Writer(scene, f"w{no}", own, inserts=0).recreate_all)
    deadline = math.inf
    with clients.at_work(scene, work):
        while time.monotonic() < deadline:
            shown = migration.shown()
            if shown["state"] not in {"planned", "backfilling"}:
                break
            if deadline == math.inf and shown["progress"]["documents_done"] >= documents:
                deadline = time.monotonic() + LEFT_S
            time.sleep(EVERY_S)


def _found(stage: Stage) -> stored.Stored:
    with stored.connected(stage.running.data_dir) as sql:
        return stored.read(sql, COLLECTION)
