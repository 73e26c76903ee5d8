"""The cut-over and the way back, while clients search and write without a pause."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import psycopg

from benchmarks import metrics, service, table
from benchmarks.fire import answers, clients, faults, stored, tables
from benchmarks.fire import stage as fire
from benchmarks.fire.answers import CONFLICT
from benchmarks.fire.cutover import Cutover
from benchmarks.fire.faults import Fault
from benchmarks.fire.history import NOT_FOUND, Search, Write
from benchmarks.fire.scene import Rates, Scene
from benchmarks.fire.windows import Windows
from benchmarks.fire.wish import BUNDLED, STATIC, Wish
from benchmarks.reembed.migrating import Migration
from benchmarks.reembed.stage import Stage

Event = TypeVar("Event", Search, Write)

PART = "reembed"
COLLECTION = "bench-reembed-switching"
RATES = Rates(writers=2, writes_s=20, searchers=4, searches_s=40)
# Before the cut-over, and after the rollback.
AROUND_S = 10.0
SOAKING_S = 10.0
PROBES = 500
NONE = table.Target("figure", "<=", 0)
LATER = table.Target("difference", "<=", 250.0)
SOON = table.Target("figure", "<=", 1.0)


@dataclass
class Found:
    """Times by the monotonic clock; `pending`: what the way back had to embed at most.

    `embedded`: documents that were given vectors in the source's index after it was asked for.
    """

    cut_begun: float = 0.0
    cut_ended: float = 0.0
    back_begun: float = 0.0
    back_ended: float = 0.0
    last_write: float = 0.0
    pending: int = 0
    embedded: int = 0
    faults: list[Fault] = field(default_factory=list)


def rows(stage: Stage, documents: int) -> list[table.Row]:
    """MiniLM to WordLlama and back."""
    what, found = stage.what, Found()
    wish = Wish(documents=documents, source=BUNDLED, target=STATIC, rates=RATES)
    scene = Scene(stage.running.port, COLLECTION, seed=wish.seed, rates=RATES)
    what.say(f"{PART}: cut-over and rollback of {documents:,} documents under load")
    stage.drop(COLLECTION)
    fire.fill(scene, wish)
    migration = Migration.begin(scene.port, COLLECTION, STATIC, manual=True)
    known = fire.Migration.shown(migration.until("ready"))
    scene.spaces = (known.source.space, known.target.space)
    searching = scene.act()
    with clients.at_work(searching, clients.searchers(searching)):
        _there(scene, migration, found, documents)
        _back(stage, migration, found, known.source.index)
    found.last_write = max(one.answered for one in _writes(scene))
    found.faults += _judged(stage, scene, known)
    stage.drop(COLLECTION)
    return [*_cut_rows(scene, found), *_back_rows(found)]


def _there(scene: Scene, migration: Migration, found: Found, documents: int) -> None:
    """Cut over while all clients are at work; the writers end a while later."""
    writing = scene.act()
    with clients.at_work(writing, clients.writers(writing, documents)):
        time.sleep(AROUND_S)
        found.cut_begun = time.monotonic()
        migration.act("cutover")
        migration.until("soaking")
        found.cut_ended = time.monotonic()
        time.sleep(SOAKING_S)


def _back(stage: Stage, migration: Migration, found: Found, index: int) -> None:
    """Roll back at once after the last write, and see what that had to embed."""
    with service.database_url(stage.running.data_dir) as url, psycopg.connect(url) as sql:
        sql.autocommit = True
        found.pending = (migration.shown()["lag"] or {"pending": 0})["pending"]
        before = _transaction(sql)
        found.back_begun = time.monotonic()
        migration.act("rollback")
        found.back_ended = time.monotonic()
        time.sleep(AROUND_S)
        row = sql.execute(
            f"SELECT count(DISTINCT doc_key) FROM vectors_{index:d} WHERE xmin::text::bigint > %s",
            (before,),
        ).fetchone()
        found.embedded = 0 if row is None else row[0]


def _transaction(sql: psycopg.Connection) -> int:
    row = sql.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
    assert row is not None
    return int(row[0])


def _judged(stage: Stage, scene: Scene, known: fire.Migration) -> list[Fault]:
    """By the oracle of the part fire; either space may have answered at any time."""
    clients.probe(scene, PROBES)
    with stored.connected(stage.running.data_dir) as sql:
        kept = stored.read(sql, scene.collection)
    either = Cutover(known.source, known.target, -math.inf, math.inf)
    return [
        *answers.judge(scene.history, Windows(()), either),
        *tables.judge(kept, scene.history, fire.embedder(scene.port)),
    ]


def _cut_rows(scene: Scene, found: Found) -> list[table.Row]:
    cut = found.cut_begun, found.cut_ended
    before = found.cut_begun - AROUND_S, found.cut_begun
    searches, writes = _within(cut, scene.history.searches), _within(cut, _writes(scene))
    size = (
        f"{len(searches)} searches, {len(writes)} writes in {cut[1] - cut[0]:.2f} s of cutting over"
    )
    failed = sum(one.status not in {200, CONFLICT} for one in searches)
    refused = sum(one.outcome != "ok" and one.status != NOT_FOUND for one in writes)
    return [
        table.Row(PART, "cut-over: searches that failed", failed, target=NONE, note=size),
        table.Row(PART, "cut-over: writes that failed", refused, target=NONE, note=size),
        _worst("search", searches, _within(before, scene.history.searches), LATER),
        _worst("write", writes, _within(before, _writes(scene)), None),
    ]


def _writes(scene: Scene) -> list[Write]:
    return [one for writes in scene.history.writes.values() for one in writes]


def _within(span: tuple[float, float], events: Sequence[Event]) -> list[Event]:
    """Those that were under way in that time, if only in part."""
    return [one for one in events if one.invoked <= span[1] and one.answered >= span[0]]


def _ms(events: Sequence[Search | Write]) -> list[float]:
    return [1e3 * (one.answered - one.invoked) for one in events] or [0.0]


def _worst(
    what: str, cut: Sequence[Event], others: Sequence[Event], target: table.Target | None
) -> table.Row:
    during, before = _ms(cut), _ms(others)
    return table.Row(
        PART,
        f"cut-over: the slowest {what}",
        max(during),
        unit="ms",
        beside="p99 of the ten seconds before",
        other=metrics.percentile(before, 99),
        target=target,
        note=f"p99 {metrics.figure(metrics.percentile(during, 99))} ms, median "
        f"{metrics.figure(metrics.median(during))}; before, median "
        f"{metrics.figure(metrics.median(before))}, at most {metrics.figure(max(before))}",
    )


def _back_rows(found: Found) -> list[table.Row]:
    counts = {kind: count for kind, count in faults.counts(found.faults).items() if count}
    return [
        table.Row(
            PART,
            "rollback: from the last acknowledged write to the switch back",
            found.back_ended - found.last_write,
            unit="s",
            target=SOON,
            note=f"the call itself {1e3 * (found.back_ended - found.back_begun):.0f} ms",
        ),
        table.Row(
            PART,
            "rollback: documents embedded for it",
            found.embedded,
            beside="pending before",
            other=found.pending,
            target=table.Target("difference", "<=", 0),
        ),
        table.Row(
            PART,
            "cut-over and rollback: faults of any kind",
            len(found.faults),
            target=NONE,
            note=f"{counts or 'judged as the part fire is'}; {PROBES:,} exact searches",
        ),
    ]
