"""What all clients of a run share: where to send requests, the history, the known documents."""

import dataclasses
import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.fire.history import History
from benchmarks.fire.known_documents import KnownDocuments


@dataclass(frozen=True)
class Rates:
    """Number of clients of each kind, and requests per second of all of that kind together."""

    writers: int = 4
    writes_s: float = 20.0
    searchers: int = 4
    searches_s: float = 20.0


@dataclass
class RunContext:
    """`spaces` are those that searches may expect; `ended` tells every client to stop."""

    port: int
    collection: str
    seed: int
    corpus: Sequence[str] = ()
    rates: Rates = Rates()
    spaces: tuple[str, ...] = ()
    history: History = field(default_factory=History)
    known_documents: KnownDocuments = field(default_factory=KnownDocuments)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def path(self) -> str:
        return f"/v1/collections/{self.collection}"

    def new_phase(self) -> "RunContext":
        """The same context with its own `ended` event."""
        return dataclasses.replace(self, ended=threading.Event())

    def random_for(self, name: str) -> random.Random:
        """A generator of one client: the same for the same seed, different for each name."""
        return random.Random(f"{self.seed} {name}")
