"""Where a migration stands: proven figures, rates of the workers, and what happens next."""

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
    """What a rollback would have to embed first (`pending`), and what it could not (`failed`)."""

    pending: int
    failed: int


class MigrationProgress(Struct, frozen=True, kw_only=True):
    """`rate` in chunks a second over the last ten; `pace`: 1 where nothing holds it back."""

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


async def read(conn: AsyncConnection, found: Migration) -> MigrationStatus:
    target = found.target
    counts = pending.PendingCounts(0, 0)
    failed: list[tuple[str, str]] = []
    build = None
    if target is not None and target.state != "retired":
        counts = await pending.counts(conn, target.id)
        failed = await pending.failed(conn, target.id, _FAILED_SHOWN)
        build = await hnsw.progress(conn, target.id)
    lag = None
    if found.is_soaking and found.source is not None:
        behind = await pending.counts(conn, found.source.id)
        lag = Lag(pending=behind.waiting, failed=behind.failed)
    others = await replicas.live(conn)
    progress = await _progress(conn, found, counts, build, others)
    told = following(found, counts, lag)
    waits = found.is_idle or found.awaits_cutover
    if found.state in states.WORKER_STATES and not waits and not any(one.works for one in others):
        told = f"{_NOBODY} {told}"
    return MigrationStatus(progress, lag, failed, told)


async def _progress(
    conn: AsyncConnection,
    found: Migration,
    counts: pending.PendingCounts,
    build: hnsw.BuildProgress | None,
    others: Sequence[ReplicaRow],
) -> MigrationProgress:
    documents = await collections.count_documents(conn, found.collection.id)
    totals = await migration_ranges.totals(conn, found.id)
    told = [fact for one in others if isinstance(fact := one.facts.get(str(found.id)), Mapping)]
    rate = sum(float(one["rate"]) for one in told) if told else None
    # What a worker wrote twice, or was deleted since, is counted all the same; after the cut-over
    # writes keep it whole.
    is_whole = found.is_soaking or found.state in {"done", "rolled_back"}
    done = documents if is_whole else min(totals.documents, documents)
    return MigrationProgress(
        documents=documents,
        documents_done=done,
        chunks_done=totals.chunks,
        pending=counts.waiting,
        failed=counts.failed,
        rate=rate,
        eta_s=_eta_s(documents - done, totals, rate) if found.state == "backfilling" else None,
        workers=max(totals.workers, int(_is_led(found))),
        pace=min((float(one["pace"]) for one in told), default=None),
        query_p95_ms=throttle.slowest_p95_ms(others),
        build=None if build is None else Build(phase=build.phase, share=build.share),
    )


def _is_led(found: Migration) -> bool:
    until = found.row.lease_until
    return until is not None and until > found.now


def _eta_s(left: int, totals: migration_ranges.Totals, rate: float | None) -> float | None:
    if not rate or not totals.documents:
        return None
    return left * totals.chunks / totals.documents / rate


_NOBODY = "Nobody works on it: start `vecmark worker`, or a `vecmark serve` that may work."
_NEXT: Mapping[State, str] = {
    "planned": "A worker begins with the backfill as soon as it has loaded the target.",
    "backfilling": "Workers embed what the target lacks; then its HNSW index is built. What a "
    "worker that died had in hand is taken over within 15 seconds.",
    "building": "The HNSW index is built; then the target is verified.",
    "verifying": "Coverage, recall and the gates are measured; then it is ready, or blocked.",
    "ready": "The cut-over begins at once.",
    "cutting": "Writes embed for both indexes. The flip is made as soon as nothing is pending and "
    "every serving process has loaded the target.",
    "paused": "Nothing is done while it is paused.",
    "failed": "Mend what the error names.",
    "done": "It is over; the old index is gone.",
    "cancelled": "It is over; the collection stayed as it was.",
    "rolled_back": "It is over; the old index answers again.",
}


def following(found: Migration, counts: pending.PendingCounts, lag: Lag | None) -> str:
    """What happens next, also after a crash; or what a person has to do."""
    if found.state == "soaking":
        return _soaking(found, lag)
    if found.state == "blocked":
        return _blocked(found, counts)
    if found.awaits_cutover:
        return f"It waits for {_command(found, 'cutover')}."
    if found.state in {"paused", "failed"}:
        goes_on = f"{_command(found, 'resume')} goes on with {found.resume_state}."
        return f"{_NEXT[found.state]} {goes_on}"
    return _NEXT[found.state]


def _command(found: Migration, words: str, options: str = "") -> str:
    return cli_hints.migrate_command(found.collection.name, words, options)


def _blocked(found: Migration, counts: pending.PendingCounts) -> str:
    overrule = _command(found, "cutover", "--force REASON")
    if counts.failed:
        overrule = _command(found, "cutover", "--waive-failed") + " (they will not be found)"
    return (
        f"Nothing was switched. Mend what the report names and {_command(found, 'resume')}, or "
        f"{overrule}, or {_command(found, 'cancel')}."
    )


def _soaking(found: Migration, lag: Lag | None) -> str:
    until = found.row.retained_until
    when = "" if until is None else f" until {until:%Y-%m-%d %H:%M} UTC"
    behind = "" if lag is None or not lag.pending else f" after {lag.pending:,} pending texts"
    return (
        f"The target answers. The old index is kept fresh{when} and then dropped; "
        f"{_command(found, 'rollback')} goes back{behind}, {_command(found, 'retire')} ends it now."
    )
