"""How much of its time a backfill works: less while live searches are slow."""

# Slower at once, faster by and by: searches that are slow are noticed by people.
_SLOWER = 0.6
_FASTER = 1.25
_LEAST = 0.02
# The band: below this part of the bound it speeds up again, between it stays as it is.
_CALM = 0.7
# It ends before long, since searches may have become calm meanwhile.
_LONGEST_REST_S = 5.0


class Pace:
    """`share` of the time in which the backfill works, 1 where nothing holds it back."""

    def __init__(self) -> None:
        self.share = 1.0

    def adjust(self, p95_ms: float | None, bound_ms: float | None) -> None:
        """Once a second: from the searches' p95, None where nobody searches."""
        if bound_ms is None or p95_ms is None:
            self.share = min(1.0, self.share * _FASTER) if bound_ms is not None else 1.0
        elif p95_ms > bound_ms:
            self.share = max(_LEAST, self.share * _SLOWER)
        elif p95_ms < _CALM * bound_ms:
            self.share = min(1.0, self.share * _FASTER)

    def rest_s(self, busy_s: float) -> float:
        """How long to do nothing after so long at work: five seconds at most."""
        return min(_LONGEST_REST_S, busy_s * (1 / self.share - 1))
