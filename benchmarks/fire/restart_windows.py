"""The times when a search may fail: while something it needs is being restarted."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.fire.history import Kill

# Killing a worker excuses nothing.
EXCUSED = {"api", "postgres"}
GRACE_S = 2.0


@dataclass(frozen=True)
class RestartWindows:
    """Spans of time, each from a kill until shortly after the service was ready again."""

    spans: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, kills: Sequence[Kill], grace_s: float = GRACE_S) -> "RestartWindows":
        return cls(
            tuple((kill.at, kill.back + grace_s) for kill in kills if kill.victim in EXCUSED)
        )

    def overlap(self, started: float, ended: float) -> bool:
        """Whether this time overlaps one of the spans."""
        return any(started <= end and ended >= start for start, end in self.spans)
