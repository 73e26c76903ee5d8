"""Kills and restarts processes at random times."""

import time

from benchmarks.fire import progress, snapshot
from benchmarks.fire.context import RunContext
from benchmarks.fire.deployment import Deployment
from benchmarks.fire.history import Kill

# Below 1, so that now and then the next kill comes while a worker is still starting.
WAIT_PROBABILITY = 0.7
POLL_S = 0.1


class Killer:
    """Kills in rounds: every victim once, in random order; then waits for progress."""

    def __init__(
        self, context: RunContext, deployment: Deployment, pauses_s: tuple[float, float]
    ) -> None:
        self._context = context
        self._deployment = deployment
        self._pauses_s = pauses_s
        self._random = context.random_for("killer")

    def run(self) -> None:
        """Kill until the phase ends; everything is restarted when this returns."""
        while not self._context.ended.is_set():
            for victim in self._random.sample(
                self._deployment.victims, len(self._deployment.victims)
            ):
                if self._context.ended.wait(self._random.uniform(*self._pauses_s)):
                    return
                self._restart_dead()
                self._kill(victim)
            self._await_progress()

    def _kill(self, victim: str) -> None:
        at = time.monotonic()
        pid = self._deployment.kill(victim)
        self._deployment.restart(victim, pid)
        self._context.history.add_kill(Kill(victim=victim, pid=pid, at=at, back=time.monotonic()))
        if victim in self._deployment.workers and self._random.random() < WAIT_PROBABILITY:
            self._deployment.wait_for_worker(victim)

    def _await_progress(self) -> None:
        """Wait for the migration to go on, which it must do once leases have expired."""
        observations = self._context.history.observations
        since, before = time.monotonic(), progress.reached(list(observations))
        while not progress.is_over(observations) and progress.reached(list(observations)) <= before:
            if self._context.ended.wait(POLL_S):
                return
            if time.monotonic() - since > progress.PATIENCE_S:
                self._context.history.add_stall(
                    f"no progress within {progress.PATIENCE_S:.0f} s of a round of kills: "
                    f"{observations[-1] if observations else 'never observed'}; {self._waiting()}"
                )
                return

    def _waiting(self) -> list[str]:
        with snapshot.connected(self._deployment.data) as sql:
            return snapshot.waiting(sql)

    def _restart_dead(self) -> None:
        for name, description in list(self._deployment.exited()):
            self._context.history.add_death(description)
            self._deployment.start(name)
