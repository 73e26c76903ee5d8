"""A migration in words: the lines of `status`, and the parts that the live view shows."""

from collections.abc import Mapping

from api.cli import output, tables
from api.schemas.common import Chunking
from api.schemas.migrations import Migration, MigrationSide, PlannedChunking, StateChange
from api.schemas.reports import Gate

# States in which texts are being embedded or an index is being built.
WORKING = frozenset({"planned", "backfilling", "building", "verifying", "cutting"})
REASON_LENGTH = 100
# The limits of the other gates are minimum values.
MAXIMUM_GATES = frozenset({"ndcg_drop"})


def describe(migration: Migration) -> list[str]:
    """Everything that `status` shows."""
    lines = tables.aligned(_rows(migration))
    if gates := gate_lines(migration):
        lines += ["gates:", *(f"  {line}" for line in gates)]
    history = [f"  {history_line(change)}" for change in migration.history]
    return [*lines, *failed_lines(migration), "history:", *history]


def _rows(migration: Migration) -> list[tuple[str, object]]:
    state: str = migration.state
    if migration.resume_state:
        state += f" (resumes with {migration.resume_state})"
    kept_until = migration.retained_until if migration.lag else None
    chunks = f"{migration.progress.chunks_done:,}"
    rows: list[tuple[str, object]] = [
        ("migration", migration.id),
        ("collection", migration.collection),
        ("state", state),
        ("error", error(migration)),
        ("next", migration.next),
        ("waiting", migration.waiting),
        ("from", _side(migration.source)),
        ("to", _side(migration.target)),
        ("documents", ", ".join([documents(migration, noun=""), *shortfalls(migration)])),
        ("chunks", ", ".join([chunks, *speed(migration)])),
        ("work", ", ".join(work(migration))),
        ("build", build_progress(migration)),
        ("old index", old_index_lag(migration)),
        ("kept until", output.timestamp(kept_until) if kept_until else ""),
        ("forced", migration.options.forced),
    ]
    return [(label, value) for label, value in rows if value]


def _side(side: MigrationSide) -> str:
    suffix = "" if side.loaded else ", its model is not loaded"
    return f"{side.space.model}, index {side.index}, {chunking(side.chunking)}{suffix}"


def chunking(options: Chunking | PlannedChunking) -> str:
    """`chunking sentence, size 254, overlap 32`."""
    if options.strategy == "none":
        return "chunking none"
    parts = {"size": options.size, "overlap": options.overlap}
    return f"chunking {options.strategy}" + "".join(
        f", {name} {value}" for name, value in parts.items() if value
    )


def endpoints(migration: Migration) -> tuple[str, str]:
    """What it moves from and to: the models, or the chunkings if the model stays."""
    source, target = migration.source, migration.target
    if source.space.id == target.space.id:
        return chunking(source.chunking), chunking(target.chunking)
    return source.space.model, target.space.model


def documents(migration: Migration, noun: str = " documents") -> str:
    """`420 of 1,000 documents (42 %)`."""
    done, total = migration.progress.documents_done, migration.progress.documents
    return f"{done:,} of {total:,}{noun} ({output.share(done, total)})"


def shortfalls(migration: Migration) -> list[str]:
    """Texts that failed, and writes that the new index still lacks."""
    progress = migration.progress
    return _nonzero({"failed": progress.failed, "pending": progress.pending})


def _nonzero(counts: Mapping[str, int]) -> list[str]:
    return [f"{count:,} {name}" for name, count in counts.items() if count]


def speed(migration: Migration) -> list[str]:
    """Chunks per second and the time left, while texts are being embedded."""
    if migration.state != "backfilling":
        return []
    rate, eta_s = migration.progress.rate, migration.progress.eta_s
    parts = [] if rate is None else [output.rate(rate)]
    return parts if eta_s is None else [*parts, f"about {output.seconds(eta_s)} left"]


def work(migration: Migration) -> list[str]:
    """How many workers embed now, how fast they may be, and how searches are affected."""
    progress, options = migration.progress, migration.options
    parts = []
    if migration.state == "backfilling":
        parts.append(output.count(progress.workers, "worker") if progress.workers else "no worker")
        if progress.pace is not None:
            parts.append(f"pace {output.share(progress.pace, 1)}")
        if options.max_rate is not None:
            parts.append(f"at most {output.rate(options.max_rate)}")
    if migration.state in WORKING and progress.query_p95_ms is not None:
        bound = options.query_p95_ms
        suffix = "" if bound is None else f" (slows down above {bound:g} ms)"
        parts.append(f"query p95 {progress.query_p95_ms:.1f} ms{suffix}")
    return parts


def limits(migration: Migration) -> str:
    """How fast it may run."""
    rate, p95 = migration.options.max_rate, migration.options.query_p95_ms
    limit = "as fast as it can" if rate is None else f"at most {output.rate(rate)}"
    return limit if p95 is None else f"{limit}, slower while query p95 is above {p95:g} ms"


def build_progress(migration: Migration) -> str:
    """How far the HNSW index is built."""
    build = migration.progress.build
    return f"{build.phase} {output.share(build.share, 1)}" if build else ""


def old_index_lag(migration: Migration) -> str:
    """How far the index that is kept for a rollback is behind."""
    lag = migration.lag
    if lag is None:
        return ""
    behind = _nonzero({"pending": lag.pending, "failed": lag.failed})
    return f"behind: {', '.join(behind)}" if behind else "up to date"


def error(migration: Migration) -> str:
    """Why it stopped, unless its gates and failed texts say so already."""
    has_failed_gates = migration.verdict is not None and not migration.verdict.passed
    if migration.state == "blocked" and (migration.failed or has_failed_gates):
        return ""
    return migration.error or ""


def gate_lines(migration: Migration) -> list[str]:
    """A line for each gate of the verdict."""
    return [_gate_line(gate) for gate in migration.verdict.gates] if migration.verdict else []


def _gate_line(gate: Gate) -> str:
    mark = "passed" if gate.passed else "NOT PASSED"
    value = "not measured" if gate.value is None else f"{gate.value:.4g}"
    bound = "at most" if gate.name in MAXIMUM_GATES else "at least"
    detail = f": {gate.detail}" if gate.detail else ""
    return f"{gate.name} {value}, {bound} {gate.limit:.4g}, {mark}{detail}"


def failed_lines(migration: Migration) -> list[str]:
    """The texts that failed, as many as the service names."""
    texts = migration.failed
    if not texts:
        return []
    total = max(migration.progress.failed, len(texts))
    lines = [f"  {text.id}: {' '.join(text.reason.split())}" for text in texts]
    rest = [f"  ... and {total - len(texts):,} more"] if total > len(texts) else []
    return [f"{output.count(total, 'text')} failed:", *lines, *rest]


def history_line(change: StateChange) -> str:
    reason = shorten(change.why or "")
    return f"{output.timestamp(change.at)}  {change.state:<11}  {reason}".rstrip()


def shorten(reason: str) -> str:
    """A reason in one line; gates, failed texts and errors are shown in full elsewhere."""
    flat = " ".join(reason.split())
    return flat if len(flat) <= REASON_LENGTH else flat[: REASON_LENGTH - 1].rstrip() + "…"


def summary(migration: Migration) -> str:
    """The progress in one line."""
    chunks = output.count(migration.progress.chunks_done, "chunk")
    parts = [documents(migration), *shortfalls(migration), chunks, *speed(migration)]
    if build := build_progress(migration):
        parts.append(build)
    if lag := old_index_lag(migration):
        parts.append(f"old index {lag}")
    if migration.waiting:
        parts.append(f"waiting: {migration.waiting}")
    return f"{migration.collection} {migration.state}: {', '.join(parts)}"
