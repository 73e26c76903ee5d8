"""One whole run under fire: preparation, clients, kills, and the checks at the end."""

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from benchmarks import service
from benchmarks.fire import (
    clients,
    oracle,
    preparation,
    progress,
    repeated_work,
    snapshot,
    table_checks,
)
from benchmarks.fire import deployment as deployments
from benchmarks.fire.context import RunContext
from benchmarks.fire.cutover import CUT_OVER, Cutover
from benchmarks.fire.faults import Fault
from benchmarks.fire.killer import Killer
from benchmarks.fire.options import RunOptions, prepare_models
from benchmarks.fire.result import RunResult
from benchmarks.fire.session import Lost, NotSent, Session
from benchmarks.fire.watcher import Watcher

Log = Callable[[str], None]
POLL_S = 0.2
SETTLE_TIMEOUT_S = 90.0


def run(folder: Path, options: RunOptions, log: Log, *, cache: Path) -> RunResult:
    """Do a whole run with its data under `folder`; `cache` holds converted models."""
    roots, data = folder / "models", service.data_dir(folder)
    data.mkdir(parents=True)
    (data / "cache").symlink_to(cache, target_is_directory=True)
    prepare_models(roots, [options.source, options.target])
    settings = {"MODEL": options.source, "MODEL_ROOTS": str(roots), **options.settings}
    with deployments.running(folder, settings) as deployment:
        context = RunContext(
            deployment.port,
            preparation.COLLECTION,
            options.seed,
            corpus=options.corpus,
            rates=options.rates,
        )
        log(f"fire: {options.documents:,} documents in {options.source}")
        preparation.fill(context, options)
        log(f"fire: only searches for {options.idle_s:g} s")
        _search_idle(context, options)
        result = _run_under_fire(context, options, deployment, log)
    result.faults += [Fault("died", description) for description in deployment.problems]
    return result


def _search_idle(context: RunContext, options: RunOptions) -> None:
    phase = context.new_phase()
    with clients.running(phase, clients.searchers(phase, "idle")):
        time.sleep(options.idle_s)


def _run_under_fire(
    context: RunContext, options: RunOptions, deployment: deployments.Deployment, log: Log
) -> RunResult:
    migration = preparation.start_migration(context, options)
    began = time.monotonic()
    context.spaces = (migration.source.space, migration.target.space)
    watcher = Watcher(context, migration.id)
    watcher.observe()
    tasks = [
        *clients.writers(context, options.documents),
        *clients.searchers(context),
        watcher.run,
        Killer(context, deployment, options.pauses_s).run,
    ]
    log(f"fire: a migration to {options.target}, {len(tasks) - 2} clients, kills")
    with clients.running(context, tasks) as futures:
        _wait_until_over(
            context, options, watcher, futures, began=began, victims=set(deployment.victims)
        )
    context.history.deaths += [description for _, description in deployment.exited()]
    ended = time.monotonic()
    log(f"fire: {len(context.history.kills)} kills in {ended - began:.0f} s; checking the outcome")
    return _check(context, options, deployment, migration, RunResult(context.history, began, ended))


def _wait_until_over(
    context: RunContext,
    options: RunOptions,
    watcher: Watcher,
    futures: list[Future[None]],
    *,
    began: float,
    victims: set[str],
) -> None:
    """Wait until it soaked long enough and every victim was killed, or it failed or timed out."""
    soaking, throttled = None, True
    while (elapsed := time.monotonic() - began) < options.limit_s:
        for future in futures:
            if future.done():
                future.result()
        state = watcher.status.get("state")
        if state in progress.FAILED:
            return
        if state in CUT_OVER and soaking is None:
            soaking = elapsed
        long_enough = soaking is not None and elapsed >= max(
            options.seconds, soaking + options.soaking_s
        )
        if long_enough and victims <= {kill.victim for kill in context.history.kills}:
            return
        if throttled and elapsed > 0.6 * options.seconds:
            throttled = not _unthrottle(context, watcher)
        time.sleep(POLL_S)


def _unthrottle(context: RunContext, watcher: Watcher) -> bool:
    path = f"{context.path}/migrations/{watcher.status['id']}"
    # If clients and kills alone make searches slow, a backfill that yields to them never ends.
    rates = {"max_rate": None, "query_p95_ms": None}
    with contextlib.closing(Session(context.port, 30)) as session:
        try:
            return session.ask("PATCH", path, rates).status == 200
        except (NotSent, Lost):
            return False


def _check(
    context: RunContext,
    options: RunOptions,
    deployment: deployments.Deployment,
    migration: preparation.Migration,
    result: RunResult,
) -> RunResult:
    _wait_for_pending(context, migration)
    clients.probe(context, options.probes)
    with snapshot.connected(deployment.data) as sql:
        tables = snapshot.read(sql, context.collection)
    cutover = Cutover.of(migration.source, migration.target, context.history.observations)
    result.faults += oracle.check(
        context.history, tables, preparation.embedder(context.port), cutover
    )
    result.cutover = cutover
    result.waiting = table_checks.waiting_documents(tables)
    result.orphans = table_checks.orphans(tables)
    logs = [log_file for member in deployment.members.values() for log_file in member.logs]
    result.repeated = [
        repeated_work.unwritten_chunks(repeated_work.lines(log_file)) for log_file in logs
    ]
    result.encoded = repeated_work.encoded_chunks(logs)
    result.states = {index.id: index.state for index in tables.indexes}
    return result


def _wait_for_pending(context: RunContext, migration: preparation.Migration) -> None:
    """Give pending documents time to get their vectors; what is left gets counted."""
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    with contextlib.closing(Watcher(context, migration.id)) as watcher:
        while time.monotonic() < deadline:
            watcher.observe()
            status = watcher.status
            lag = status.get("lag") or {"pending": 0}
            waiting = not status or status["progress"]["pending"] or lag["pending"]
            if not waiting and progress.is_over(context.history.observations):
                return
            time.sleep(POLL_S)
