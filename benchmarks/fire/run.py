"""Puts it together: the stage, the clients, the killer, and the oracle when all is over."""

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from benchmarks import service
from benchmarks.fire import clients, oracle, progress, repeated, stage, stored, tables
from benchmarks.fire import fleet as fleets
from benchmarks.fire.cutover import CUT_OVER, Cutover
from benchmarks.fire.faults import Fault
from benchmarks.fire.killer import Killer
from benchmarks.fire.outcome import Outcome
from benchmarks.fire.scene import Scene
from benchmarks.fire.session import Lost, NotSent, Session
from benchmarks.fire.watcher import Watcher
from benchmarks.fire.wish import Wish, prepare_models

Say = Callable[[str], None]
LOOK_S = 0.2
SETTLING_S = 90.0


def fire(folder: Path, wish: Wish, say: Say, *, cache: Path) -> Outcome:
    """A whole run with its data under `folder`; `cache` holds converted models."""
    roots, data = folder / "models", service.data_dir(folder)
    data.mkdir(parents=True)
    (data / "cache").symlink_to(cache, target_is_directory=True)
    prepare_models(roots, [wish.source, wish.target])
    settings = {"MODEL": wish.source, "MODEL_ROOTS": str(roots), **wish.settings}
    with fleets.running(folder, settings) as fleet:
        scene = Scene(fleet.port, stage.COLLECTION, wish.seed, corpus=wish.corpus, rates=wish.rates)
        say(f"fire: {wish.documents:,} documents in {wish.source}")
        stage.fill(scene, wish)
        say(f"fire: searches alone for {wish.idle_s:g} s")
        _idle(scene, wish)
        outcome = _burn(scene, wish, fleet, say)
    outcome.faults += [Fault("died", what) for what in fleet.wrong]
    return outcome


def _idle(scene: Scene, wish: Wish) -> None:
    act = scene.act()
    with clients.at_work(act, clients.searchers(act, "idle")):
        time.sleep(wish.idle_s)


def _burn(scene: Scene, wish: Wish, fleet: fleets.Fleet, say: Say) -> Outcome:
    migration = stage.begin(scene, wish)
    began = time.monotonic()
    scene.spaces = (migration.source.space, migration.target.space)
    watcher = Watcher(scene, migration.id)
    watcher.once()
    work = [
        *clients.writers(scene, wish.documents),
        *clients.searchers(scene),
        watcher.run,
        Killer(scene, fleet, wish.pauses_s).run,
    ]
    say(f"fire: a migration to {wish.target}, {len(work) - 2} clients, kills")
    with clients.at_work(scene, work) as futures:
        _until_over(scene, wish, watcher, futures, began=began, victims=set(fleet.victims))
    scene.history.deaths += [what for _, what in fleet.dead()]
    ended = time.monotonic()
    say(f"fire: {len(scene.history.kills)} kills in {ended - began:.0f} s; what is there now?")
    return _judged(scene, wish, fleet, migration, Outcome(scene.history, began, ended))


def _until_over(
    scene: Scene,
    wish: Wish,
    watcher: Watcher,
    futures: list[Future[None]],
    *,
    began: float,
    victims: set[str],
) -> None:
    """Until it has soaked for its time and all were killed, has failed, or takes too long."""
    soaking, throttled = None, True
    while (elapsed := time.monotonic() - began) < wish.limit_s:
        for future in futures:
            if future.done():
                future.result()
        state = watcher.shown.get("state")
        if state in progress.FAILED:
            return
        if state in CUT_OVER and soaking is None:
            soaking = elapsed
        long_enough = soaking is not None and elapsed >= max(wish.seconds, soaking + wish.soaking_s)
        if long_enough and victims <= {kill.victim for kill in scene.history.kills}:
            return
        if throttled and elapsed > 0.6 * wish.seconds:
            throttled = not _unthrottle(scene, watcher)
        time.sleep(LOOK_S)


def _unthrottle(scene: Scene, watcher: Watcher) -> bool:
    path = f"{scene.path}/migrations/{watcher.shown['id']}"
    # Where clients and kills alone make searches slow, a backfill that yields to them never ends.
    rates = {"max_rate": None, "query_p95_ms": None}
    with contextlib.closing(Session(scene.port, 30)) as session:
        try:
            return session.ask("PATCH", path, rates).status == 200
        except (NotSent, Lost):
            return False


def _judged(
    scene: Scene,
    wish: Wish,
    fleet: fleets.Fleet,
    migration: stage.Migration,
    outcome: Outcome,
) -> Outcome:
    _settle(scene, migration)
    clients.probe(scene, wish.probes)
    with stored.connected(fleet.data) as sql:
        found = stored.read(sql, scene.collection)
    cutover = Cutover.of(migration.source, migration.target, scene.history.looks)
    outcome.faults += oracle.judge(scene.history, found, stage.embedder(scene.port), cutover)
    outcome.cutover = cutover
    outcome.lacking, outcome.orphans = tables.lacking(found), tables.orphans(found)
    logs = [log for member in fleet.members.values() for log in member.logs]
    outcome.repeated = [repeated.chunks(repeated.lines(log)) for log in logs]
    outcome.encoded = repeated.encoded(logs)
    outcome.states = {index.id: index.state for index in found.indexes}
    return outcome


def _settle(scene: Scene, migration: stage.Migration) -> None:
    """What is pending gets its vectors now; what does not is counted."""
    deadline = time.monotonic() + SETTLING_S
    with contextlib.closing(Watcher(scene, migration.id)) as watcher:
        while time.monotonic() < deadline:
            watcher.once()
            shown = watcher.shown
            lag = shown.get("lag") or {"pending": 0}
            waiting = not shown or shown["progress"]["pending"] or lag["pending"]
            if not waiting and progress.is_over(scene.history.looks):
                return
            time.sleep(LOOK_S)
