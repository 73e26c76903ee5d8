"""The status of a migration: progress, the workers' rates, and what happens next."""

import dataclasses
from collections.abc import Mapping, Sequence

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from migrations.reembed import cli_hints, states, throttle
from migrations.reembed.migration import Migration
from storage import collections, hnsw, migration_ranges, pending, replicas
from storage.migration_states import State
from storage.replicas import ReplicaRow

_FAILED_SHOWN = 20


class Build(Struct, frozen=True, kw_only=True):
    """The HNSW build as PostgreSQL reports it."""

    phase: str
    share: float


class Lag(Struct, frozen=True, kw_only=True):
    """Texts that a rollback would embed first (`pending`), and those it couldn't (`failed`)."""

    pending: int
    failed: int


class MigrationProgress(Struct, frozen=True, kw_only=True):
    """`rate` in chunks per second over the last ten seconds; `pace`: 1 if nothing slows it."""

    documents: int
    documents_done: int
    chunks_done: int
    pending: int
    failed: int
    rate: float | None
    eta_s: float | None
    workers: int
    pace: float | None
    query_p95_ms: float | None
    build: Build | None


@dataclasses.dataclass(frozen=True)
class MigrationStatus:
    progress: MigrationProgress
    lag: Lag | None
    failed: list[tuple[str, str]]
    next: str


async def read(conn: AsyncConnection, migration: Migration) -> MigrationStatus:
    target = migration.target
    counts = pending.PendingCounts(0, 0)
    failed: list[tuple[str, str]] = []
    build = None
    if target is not None and target.state != "retired":
        counts = await pending.counts(conn, target.id)
        failed = await pending.failed(conn, target.id, _FAILED_SHOWN)
        build = await hnsw.progress(conn, target.id)
    lag = None
    if migration.is_soaking and migration.source is not None:
        behind = await pending.counts(conn, migration.source.id)
        lag = Lag(pending=behind.waiting, failed=behind.failed)
    live = await replicas.live(conn)
    progress = await _progress(conn, migration, counts, build, live)
    following = describe_next(migration, counts, lag)
    needs_worker = migration.state in states.WORKER_STATES and not (
        migration.is_idle or migration.awaits_cutover
    )
    if needs_worker and not any(replica.works for replica in live):
        following = f"{_NO_WORKER} {following}"
    return MigrationStatus(progress, lag, failed, following)


async def _progress(
    conn: AsyncConnection,
    migration: Migration,
    counts: pending.PendingCounts,
    build: hnsw.BuildProgress | None,
    live: Sequence[ReplicaRow],
) -> MigrationProgress:
    documents = await collections.count_documents(conn, migration.collection.id)
    totals = await migration_ranges.totals(conn, migration.id)
    reports = [
        facts
        for replica in live
        if isinstance(facts := replica.facts.get(str(migration.id)), Mapping)
    ]
    rate = sum(float(report["rate"]) for report in reports) if reports else None
    # `totals` also counts what was written twice or deleted since, and after the cutover writes
    # keep the target complete.
    is_complete = migration.is_soaking or migration.state in {"done", "rolled_back"}
    done = documents if is_complete else min(totals.documents, documents)
    is_backfilling = migration.state == "backfilling"
    return MigrationProgress(
        documents=documents,
        documents_done=done,
        chunks_done=totals.chunks,
        pending=counts.waiting,
        failed=counts.failed,
        rate=rate,
        eta_s=_eta_s(documents - done, totals, rate) if is_backfilling else None,
        workers=max(totals.workers, int(_is_led(migration))),
        pace=min((float(report["pace"]) for report in reports), default=None),
        query_p95_ms=throttle.slowest_p95_ms(live),
        build=None if build is None else Build(phase=build.phase, share=build.share),
    )


def _is_led(migration: Migration) -> bool:
    until = migration.row.lease_until
    return until is not None and until > migration.now


def _eta_s(
    documents_left: int, totals: migration_ranges.Totals, rate: float | None
) -> float | None:
    if not rate or not totals.documents:
        return None
    return documents_left * totals.chunks / totals.documents / rate


_NO_WORKER = (
    "No worker is running: start `vecmark worker`, or `vecmark serve` without `--no-worker`."
)
_NEXT: Mapping[State, str] = {
    "planned": "A worker starts the backfill as soon as it has loaded the target's model.",
    "backfilling": "Workers embed what the target lacks; then its HNSW index is built. The work of "
    "a worker that dies is taken over within 15 seconds.",
    "building": "The HNSW index is being built; then the target is verified.",
    "verifying": "Coverage, recall and the gates are measured; then it is ready or blocked.",
    "ready": "The cutover begins now.",
    "cutting": "Writes embed for both indexes. Searches switch to the target once nothing is "
    "pending and every serving process has loaded its model.",
    "paused": "Nothing happens while it is paused.",
    "failed": "Fix what the error names.",
    "done": "It is over; the old index was dropped.",
    "cancelled": "It is over; the collection stayed as it was.",
    "rolled_back": "It is over; searches use the old index again.",
}


def describe_next(migration: Migration, counts: pending.PendingCounts, lag: Lag | None) -> str:
    """What happens next, even after a crash, or what a person has to do."""
    if migration.state == "soaking":
        return _next_when_soaking(migration, lag)
    if migration.state == "blocked":
        return _next_when_blocked(migration, counts)
    if migration.awaits_cutover:
        return f"It waits for {_command(migration, 'cutover')}."
    if migration.state in {"paused", "failed"}:
        resume = f"{_command(migration, 'resume')} continues with {migration.resume_state}."
        return f"{_NEXT[migration.state]} {resume}"
    return _NEXT[migration.state]


def _command(migration: Migration, subcommand: str, options: str = "") -> str:
    return cli_hints.migrate_command(migration.collection.name, subcommand, options)


def _next_when_blocked(migration: Migration, counts: pending.PendingCounts) -> str:
    overrule = _command(migration, "cutover", "--force REASON")
    if counts.failed:
        waive = _command(migration, "cutover", "--waive-failed")
        overrule = f"{waive} (searches won't find these texts)"
    return (
        f"Nothing was switched. Fix what the report names and {_command(migration, 'resume')}, or "
        f"{overrule}, or {_command(migration, 'cancel')}."
    )


def _next_when_soaking(migration: Migration, lag: Lag | None) -> str:
    until = migration.row.retained_until
    when = "" if until is None else f" until {until:%Y-%m-%d %H:%M} UTC"
    first = "" if lag is None or not lag.pending else f" after embedding {lag.pending:,} texts"
    return (
        f"Searches now use the new index. The old one is kept up to date{when}, then dropped; "
        f"{_command(migration, 'rollback')} returns to it{first}, "
        f"{_command(migration, 'retire')} drops it now."
    )
