"""Searches at random times over several connections, so that a slow one doesn't delay others."""

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

PER_SECOND = 20.0
CONNECTIONS = 4
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Timed:
    started: float
    ended: float
    status: int

    @property
    def ms(self) -> float:
        return 1e3 * (self.ended - self.started)


@dataclass
class Searches:
    """The finished searches; times are Unix times, like those in the migration's history."""

    finished: list[Timed] = field(default_factory=list)

    def between(self, started: float, ended: float) -> list[Timed]:
        """The searches that overlap this time."""
        return [
            search
            for search in self.finished
            if search.started <= ended and search.ended >= started
        ]

    def p99(self) -> float:
        return metrics.percentile([search.ms for search in self.finished], 99)

    def failed(self) -> int:
        return sum(search.status != 200 for search in self.finished)


@contextlib.contextmanager
def running(port: int, collection: str, texts: Sequence[str]) -> Iterator[Searches]:
    """Search while the context is open; all searches are answered when it is left."""
    searches, ended = Searches(), threading.Event()
    path = f"/v1/collections/{collection}/search"

    def work(no: int) -> None:
        random_ = random.Random(f"search {no}")
        with contextlib.closing(Session(port, TIMEOUT_S)) as session:
            while not ended.wait(random_.expovariate(PER_SECOND / CONNECTIONS)):
                searches.finished.append(_search(session, path, random_.choice(texts)))

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        futures = [threads.submit(work, no) for no in range(CONNECTIONS)]
        try:
            yield searches
        finally:
            ended.set()
    for future in futures:
        future.result()


def _search(session: Session, path: str, text: str) -> Timed:
    started = time.time()
    try:
        status = session.ask("POST", path, {"q": text}).status
    except (NotSent, Lost):
        status = LOST
    return Timed(started, time.time(), status)
