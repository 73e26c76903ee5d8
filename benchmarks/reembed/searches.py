"""Searches at random times, from several connections: one that is slow holds up no other."""

import contextlib
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from benchmarks import metrics
from benchmarks.fire.history import LOST
from benchmarks.fire.session import Lost, NotSent, Session

A_SECOND = 20.0
CONNECTIONS = 4
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Timed:
    begun: float
    ended: float
    status: int

    @property
    def ms(self) -> float:
        return 1e3 * (self.ended - self.begun)


@dataclass
class Searches:
    """Those that were answered; times in seconds of the epoch, as the migration's history has."""

    found: list[Timed] = field(default_factory=list)

    def between(self, begun: float, ended: float) -> list[Timed]:
        """Those that were under way in that time, if only in part."""
        return [one for one in self.found if one.begun <= ended and one.ended >= begun]

    def p99(self) -> float:
        return metrics.percentile([one.ms for one in self.found], 99)

    def failed(self) -> int:
        return sum(one.status != 200 for one in self.found)


@contextlib.contextmanager
def beside(
    port: int, collection: str, texts: Sequence[str], *, seed: int = 7
) -> Iterator[Searches]:
    """Searches go on as long as the context; all are answered when it is left."""
    made, ended = Searches(), threading.Event()
    path = f"/v1/collections/{collection}/search"

    def work(no: int) -> None:
        chance = random.Random(f"search {no}")
        with contextlib.closing(Session(port, TIMEOUT_S)) as session:
            while not ended.wait(chance.expovariate(A_SECOND / CONNECTIONS)):
                made.found.append(_one(session, path, chance.choice(texts)))

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        futures = [threads.submit(work, no) for no in range(CONNECTIONS)]
        try:
            yield made
        finally:
            ended.set()
    for future in futures:
        future.result()


def _one(session: Session, path: str, text: str) -> Timed:
    begun = time.time()
    try:
        status = session.ask("POST", path, {"q": text}).status
    except (NotSent, Lost):
        status = LOST
    return Timed(begun, time.time(), status)
