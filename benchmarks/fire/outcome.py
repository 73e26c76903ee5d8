"""What a run came to."""

import math
from collections import Counter
from dataclasses import dataclass, field

from benchmarks import metrics
from benchmarks.fire import faults, progress
from benchmarks.fire.cutover import Cutover
from benchmarks.fire.faults import Fault
from benchmarks.fire.history import History, Search
from benchmarks.fire.windows import EXCUSED, Windows


@dataclass
class Outcome:
    """`began`: of the migration; searches before it had the service to themselves."""

    history: History
    began: float
    ended: float
    faults: list[Fault] = field(default_factory=list)
    cutover: Cutover | None = None
    # By index: documents that wait for their vectors, rows that never count, its state.
    lacking: dict[int, int] = field(default_factory=dict)
    orphans: dict[int, int] = field(default_factory=dict)
    states: dict[int, str] = field(default_factory=dict)
    # Chunks that each process, each time that it ran, encoded and did not write.
    repeated: list[int] = field(default_factory=list)
    encoded: int = 0

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    def kills(self) -> dict[str, int]:
        return dict(Counter(kill.victim for kill in self.history.kills))

    def operations(self) -> dict[str, int]:
        """Writes by kind and outcome, and searches, of the time under fire."""
        counted = Counter(
            f"{one.kind} {one.outcome}"
            for writes in self.history.writes.values()
            for one in writes
            if one.invoked >= self.began
        )
        return {**dict(sorted(counted.items())), "searches": len(self._searches())}

    def refused_writes(self) -> int:
        """Valid writes that were answered by an error while nothing was being started again."""
        windows = Windows.of(self.history.kills)
        return self.history.count(
            lambda one: (
                one.outcome != "ok"
                and one.status not in {200, 404}
                and not windows.meet(one.invoked, one.answered)
            )
        )

    def idle_ms(self) -> list[float]:
        return [
            1e3 * (one.answered - one.invoked)
            for one in self.history.searches
            if one.answered < self.began
        ]

    def fire_ms(self) -> list[float]:
        """Of the searches outside restarts."""
        windows = Windows.of(self.history.kills)
        return [
            1e3 * (one.answered - one.invoked)
            for one in self._searches()
            if not windows.meet(one.invoked, one.answered)
        ]

    def _searches(self) -> list[Search]:
        return [one for one in self.history.searches if self.began <= one.invoked <= self.ended]

    def timeline(self) -> str:
        """When each state was first seen, in seconds of the migration."""
        seen: dict[str, float] = {}
        for look in self.history.looks:
            seen.setdefault(look.state, look.answered - self.began)
        return ", ".join(f"{state} {at:.1f}" for state, at in seen.items())

    def downtime_s(self) -> float:
        """The longest time from a kill until the service was ready again."""
        gone = [one.back - one.at for one in self.history.kills if one.victim in EXCUSED]
        return max(gone, default=0.0)

    def __str__(self) -> str:
        waited, at = progress.longest_wait(self.history.looks)
        shown = self.fire_ms() or [math.nan]
        return "\n".join(
            [
                f"{self.seconds:.0f} s; states: {self.timeline()}",
                f"faults {faults.counts(self.faults)}",
                f"kills {self.kills()}, operations {self.operations()}",
                f"refused writes {self.refused_writes()}",
                f"longest wait {waited:.1f} s ({at.state}: {at.note})",
                f"repeated {sorted(self.repeated, reverse=True)[:8]} of {self.encoded} chunks",
                f"waiting {self.lacking}, orphans {self.orphans}, states {self.states}",
                f"searches p50 {metrics.median(shown):.1f} ms, "
                f"p99 {metrics.percentile(shown, 99):.1f} ms, "
                f"max {max(shown):.1f} ms",
                faults.describe(self.faults),
            ]
        )
