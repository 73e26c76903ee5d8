"""Measures the cutover and the rollback while clients search and write without a pause."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import psycopg

from benchmarks import metrics, service, table
from benchmarks.fire import clients, faults, preparation, search_checks, snapshot, table_checks
from benchmarks.fire.context import Rates, RunContext
from benchmarks.fire.cutover import Cutover
from benchmarks.fire.faults import Fault
from benchmarks.fire.history import NOT_FOUND, Search, Write
from benchmarks.fire.options import BUNDLED, STATIC, RunOptions
from benchmarks.fire.restart_windows import RestartWindows
from benchmarks.fire.search_checks import CONFLICT
from benchmarks.reembed.migration_client import MigrationClient
from benchmarks.reembed.prepared_service import PreparedService

Event = TypeVar("Event", Search, Write)

PART = "reembed"
COLLECTION = "bench-reembed-switching"
RATES = Rates(writers=2, writes_s=20, searchers=4, searches_s=40)
# Time observed before the cutover and after the rollback.
AROUND_S = 10.0
SOAKING_S = 10.0
PROBES = 500
NONE = table.Target("figure", "<=", 0)
LATER = table.Target("difference", "<=", 250.0)
SOON = table.Target("figure", "<=", 1.0)


@dataclass
class Measurements:
    """Times are from the monotonic clock.

    `pending`: documents that the rollback had to embed at most. `embedded`: documents that got
    vectors in the source's index after the rollback was requested.
    """

    cut_started: float = 0.0
    cut_ended: float = 0.0
    back_started: float = 0.0
    back_ended: float = 0.0
    last_write: float = 0.0
    pending: int = 0
    embedded: int = 0
    faults: list[Fault] = field(default_factory=list)


def rows(prepared: PreparedService, documents: int) -> list[table.Row]:
    """Migrate from MiniLM to WordLlama and back."""
    config, measured = prepared.config, Measurements()
    options = RunOptions(documents=documents, source=BUNDLED, target=STATIC, rates=RATES)
    context = RunContext(prepared.running.port, COLLECTION, seed=options.seed, rates=RATES)
    config.log(f"{PART}: cutover and rollback of {documents:,} documents under load")
    prepared.drop(COLLECTION)
    preparation.fill(context, options)
    migration = MigrationClient.start(context.port, COLLECTION, STATIC, manual=True)
    sides = preparation.Migration.from_response(migration.wait_for("ready"))
    context.spaces = (sides.source.space, sides.target.space)
    searching = context.new_phase()
    with clients.running(searching, clients.searchers(searching)):
        _cut_over(context, migration, measured, documents)
        _roll_back(prepared, migration, measured, sides.source.index)
    measured.last_write = max(write.answered for write in _writes(context))
    measured.faults += _check(prepared, context, sides)
    prepared.drop(COLLECTION)
    return [*_cut_rows(context, measured), *_back_rows(measured)]


def _cut_over(
    context: RunContext, migration: MigrationClient, measured: Measurements, documents: int
) -> None:
    """Cut over while all clients are busy; the writers stop SOAKING_S later."""
    writing = context.new_phase()
    with clients.running(writing, clients.writers(writing, documents)):
        time.sleep(AROUND_S)
        measured.cut_started = time.monotonic()
        migration.perform("cutover")
        migration.wait_for("soaking")
        measured.cut_ended = time.monotonic()
        time.sleep(SOAKING_S)


def _roll_back(
    prepared: PreparedService, migration: MigrationClient, measured: Measurements, index: int
) -> None:
    """Roll back immediately after the last write, and count what that had to embed."""
    with service.database_url(prepared.running.data_dir) as url, psycopg.connect(url) as sql:
        sql.autocommit = True
        measured.pending = (migration.status()["lag"] or {"pending": 0})["pending"]
        before = _transaction(sql)
        measured.back_started = time.monotonic()
        migration.perform("rollback")
        measured.back_ended = time.monotonic()
        time.sleep(AROUND_S)
        row = sql.execute(
            f"SELECT count(DISTINCT doc_key) FROM vectors_{index:d} WHERE xmin::text::bigint > %s",
            (before,),
        ).fetchone()
        measured.embedded = 0 if row is None else row[0]


def _transaction(sql: psycopg.Connection) -> int:
    row = sql.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
    assert row is not None
    return int(row[0])


def _check(
    prepared: PreparedService, context: RunContext, sides: preparation.Migration
) -> list[Fault]:
    """Check as the part `fire` does, except that either space may answer at any time."""
    clients.probe(context, PROBES)
    with snapshot.connected(prepared.running.data_dir) as sql:
        tables = snapshot.read(sql, context.collection)
    either = Cutover(sides.source, sides.target, -math.inf, math.inf)
    return [
        *search_checks.check(context.history, RestartWindows(()), either),
        *table_checks.check(tables, context.history, preparation.embedder(context.port)),
    ]


def _cut_rows(context: RunContext, measured: Measurements) -> list[table.Row]:
    span = measured.cut_started, measured.cut_ended
    before = measured.cut_started - AROUND_S, measured.cut_started
    searches, writes = _within(span, context.history.searches), _within(span, _writes(context))
    size = (
        f"{len(searches)} searches, {len(writes)} writes "
        f"during the cutover ({span[1] - span[0]:.2f} s)"
    )
    failed = sum(event.status not in {200, CONFLICT} for event in searches)
    refused = sum(event.outcome != "ok" and event.status != NOT_FOUND for event in writes)
    return [
        table.Row(PART, "cutover: searches that failed", failed, target=NONE, note=size),
        table.Row(PART, "cutover: writes that failed", refused, target=NONE, note=size),
        _worst("search", searches, _within(before, context.history.searches), LATER),
        _worst("write", writes, _within(before, _writes(context)), None),
    ]


def _writes(context: RunContext) -> list[Write]:
    return [write for writes in context.history.writes.values() for write in writes]


def _within(span: tuple[float, float], events: Sequence[Event]) -> list[Event]:
    """The events that overlap this time."""
    return [event for event in events if event.invoked <= span[1] and event.answered >= span[0]]


def _ms(events: Sequence[Search | Write]) -> list[float]:
    return [1e3 * (event.answered - event.invoked) for event in events] or [0.0]


def _worst(
    kind: str, cut: Sequence[Event], earlier: Sequence[Event], target: table.Target | None
) -> table.Row:
    during, before = _ms(cut), _ms(earlier)
    return table.Row(
        PART,
        f"cutover: the slowest {kind}",
        max(during),
        unit="ms",
        beside="p99 of the ten seconds before",
        other=metrics.percentile(before, 99),
        target=target,
        note=f"p99 {metrics.format_number(metrics.percentile(during, 99))} ms, median "
        f"{metrics.format_number(metrics.median(during))}; before, median "
        f"{metrics.format_number(metrics.median(before))}, "
        f"at most {metrics.format_number(max(before))}",
    )


def _back_rows(measured: Measurements) -> list[table.Row]:
    counts = {kind: count for kind, count in faults.counts(measured.faults).items() if count}
    return [
        table.Row(
            PART,
            "rollback: last acknowledged write until switched back",
            measured.back_ended - measured.last_write,
            unit="s",
            target=SOON,
            note=f"the call itself {1e3 * (measured.back_ended - measured.back_started):.0f} ms",
        ),
        table.Row(
            PART,
            "rollback: documents embedded for it",
            measured.embedded,
            beside="pending before",
            other=measured.pending,
            target=table.Target("difference", "<=", 0),
        ),
        table.Row(
            PART,
            "cutover and rollback: faults of any kind",
            len(measured.faults),
            target=NONE,
            note=f"{counts or 'checked like the part fire'}; {PROBES:,} exact searches",
        ),
    ]
