"""Searches of both sides in turns, one at a time: how long they take and what they find."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from migrations.reembed.verifying import metrics, report
from migrations.reembed.verifying.comparison import AT
from migrations.reembed.verifying.side import Side, Sides
from storage.search import Hit

# Shapes that the encoder has not seen, pages that nobody has read.
_WARM_UP = 5


@dataclass
class Run:
    """What one side found for each query; `milliseconds` of encoding and searching."""

    found: list[list[Hit]] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)

    def latency(self) -> report.Latency:
        p50, p95 = (metrics.percentile(self.milliseconds, percent) for percent in (50, 95))
        return report.Latency(p50_ms=p50, p95_ms=p95)


@dataclass(frozen=True)
class Runs:
    new: Run
    old: Run | None

    def latencies(self) -> report.Latencies:
        old = None if self.old is None else self.old.latency()
        return report.Latencies(old=old, new=self.new.latency())


async def run(sides: Sides, texts: Sequence[str]) -> Runs:
    """At least one text, each of which has a vector on both sides."""
    runs = [Run() for _ in sides.all]
    for text in texts[:_WARM_UP]:
        for side in sides.all:
            await _search(side, text, Run())
    for no, text in enumerate(texts):
        turn = list(zip(sides.all, runs, strict=True))
        # Whoever comes second has the processor's caches against it.
        for side, one in reversed(turn) if no % 2 else turn:
            await _search(side, text, one)
    return Runs(runs[0], None if sides.old is None else runs[1])


async def _search(side: Side, text: str, into: Run) -> None:
    started = time.perf_counter()
    vector = await side.encode(text)
    hits = [] if vector is None else await side.nearest(vector, AT)
    into.milliseconds.append(1e3 * (time.perf_counter() - started))
    into.found.append(hits)
