"""When a search may be answered by an error: while what it needs is being started again."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.fire.history import Kill

# The kill of a worker is no excuse for anything.
EXCUSED = {"api", "postgres"}
GRACE_S = 2.0


@dataclass(frozen=True)
class Windows:
    """Spans of time, each from a kill until a while after the service was ready again."""

    spans: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, kills: Sequence[Kill], grace_s: float = GRACE_S) -> "Windows":
        return cls(tuple((one.at, one.back + grace_s) for one in kills if one.victim in EXCUSED))

    def meet(self, begun: float, ended: float) -> bool:
        """Whether any of that time lies in one of them."""
        return any(begun <= end and ended >= start for start, end in self.spans)
