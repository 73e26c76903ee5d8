"""Kills one of the processes at random times, and has it started again."""

import time

from benchmarks.fire import progress, stored
from benchmarks.fire.fleet import Fleet
from benchmarks.fire.history import Kill
from benchmarks.fire.scene import Scene

# Now and then the next one is killed while a worker still starts.
WAITS = 0.7
LOOK_S = 0.1


class Killer:
    """Goes round: each victim once, in another order every time; then it has to get on."""

    def __init__(self, scene: Scene, fleet: Fleet, pauses_s: tuple[float, float]) -> None:
        self._scene = scene
        self._fleet = fleet
        self._pauses_s = pauses_s
        self._chance = scene.chance("killer")

    def run(self) -> None:
        """Until the scene has ended; everything was started again when it returns."""
        while not self._scene.ended.is_set():
            for victim in self._chance.sample(self._fleet.victims, len(self._fleet.victims)):
                if self._scene.ended.wait(self._chance.uniform(*self._pauses_s)):
                    return
                self._raise_the_dead()
                self._kill(victim)
            self._await_progress()

    def _kill(self, victim: str) -> None:
        at = time.monotonic()
        pid = self._fleet.kill(victim)
        self._fleet.revive(victim, pid)
        self._scene.history.killed(Kill(victim=victim, pid=pid, at=at, back=time.monotonic()))
        if victim in self._fleet.workers and self._chance.random() < WAITS:
            self._fleet.await_worker(victim)

    def _await_progress(self) -> None:
        """With all there again the migration goes on, as soon as leases have run out."""
        looks = self._scene.history.looks
        since, before = time.monotonic(), progress.reached(list(looks))
        while not progress.is_over(looks) and progress.reached(list(looks)) <= before:
            if self._scene.ended.wait(LOOK_S):
                return
            if time.monotonic() - since > progress.PATIENCE_S:
                self._scene.history.stalled(
                    f"no progress in {progress.PATIENCE_S:.0f} s after a round of kills: "
                    f"{looks[-1] if looks else 'it was never seen'}; {self._waiting()}"
                )
                return

    def _waiting(self) -> list[str]:
        with stored.connected(self._fleet.data) as sql:
            return stored.waiting(sql)

    def _raise_the_dead(self) -> None:
        for name, what in list(self._fleet.dead()):
            self._scene.history.died(what)
            self._fleet.start(name)
