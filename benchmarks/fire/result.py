"""The result of a run: its history, its faults and what they are summed up to."""

import math
from collections import Counter
from dataclasses import dataclass, field

from benchmarks import metrics
from benchmarks.fire import faults, progress
from benchmarks.fire.cutover import Cutover
from benchmarks.fire.faults import Fault
from benchmarks.fire.history import History, Search
from benchmarks.fire.restart_windows import EXCUSED, RestartWindows


@dataclass
class RunResult:
    """`began`: start of the migration; earlier searches had the service to themselves."""

    history: History
    began: float
    ended: float
    faults: list[Fault] = field(default_factory=list)
    cutover: Cutover | None = None
    # By index: documents waiting for vectors, rows that never count, the index's state.
    waiting: dict[int, int] = field(default_factory=dict)
    orphans: dict[int, int] = field(default_factory=dict)
    states: dict[int, str] = field(default_factory=dict)
    # Chunks encoded but not written, one value per process and start.
    repeated: list[int] = field(default_factory=list)
    encoded: int = 0

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    def kills(self) -> dict[str, int]:
        return dict(Counter(kill.victim for kill in self.history.kills))

    def operations(self) -> dict[str, int]:
        """Number of writes by kind and outcome, and of searches, all under fire."""
        counted = Counter(
            f"{write.kind} {write.outcome}"
            for writes in self.history.writes.values()
            for write in writes
            if write.invoked >= self.began
        )
        return {**dict(sorted(counted.items())), "searches": len(self._searches())}

    def refused_writes(self) -> int:
        """Valid writes that failed while nothing was being restarted."""
        windows = RestartWindows.of(self.history.kills)
        return self.history.count(
            lambda write: (
                write.outcome != "ok"
                and write.status not in {200, 404}
                and not windows.overlap(write.invoked, write.answered)
            )
        )

    def idle_ms(self) -> list[float]:
        return [
            1e3 * (search.answered - search.invoked)
            for search in self.history.searches
            if search.answered < self.began
        ]

    def fire_ms(self) -> list[float]:
        """Milliseconds of the searches under fire, outside restarts."""
        windows = RestartWindows.of(self.history.kills)
        return [
            1e3 * (search.answered - search.invoked)
            for search in self._searches()
            if not windows.overlap(search.invoked, search.answered)
        ]

    def _searches(self) -> list[Search]:
        return [
            search for search in self.history.searches if self.began <= search.invoked <= self.ended
        ]

    def timeline(self) -> str:
        """When each state was first seen, in seconds since the migration started."""
        seen: dict[str, float] = {}
        for observation in self.history.observations:
            seen.setdefault(observation.state, observation.answered - self.began)
        return ", ".join(f"{state} {at:.1f}" for state, at in seen.items())

    def downtime_s(self) -> float:
        """The longest time from a kill until the service was ready again."""
        downtimes = [kill.back - kill.at for kill in self.history.kills if kill.victim in EXCUSED]
        return max(downtimes, default=0.0)

    def __str__(self) -> str:
        wait_s, observation = progress.longest_wait(self.history.observations)
        search_ms = self.fire_ms() or [math.nan]
        return "\n".join(
            [
                f"{self.seconds:.0f} s; states: {self.timeline()}",
                f"faults {faults.counts(self.faults)}",
                f"kills {self.kills()}, operations {self.operations()}",
                f"refused writes {self.refused_writes()}",
                f"longest wait {wait_s:.1f} s ({observation.state}: {observation.note})",
                f"repeated {sorted(self.repeated, reverse=True)[:8]} of {self.encoded} chunks",
                f"waiting {self.waiting}, orphans {self.orphans}, states {self.states}",
                f"searches p50 {metrics.median(search_ms):.1f} ms, "
                f"p99 {metrics.percentile(search_ms, 99):.1f} ms, "
                f"max {max(search_ms):.1f} ms",
                faults.describe(self.faults),
            ]
        )
