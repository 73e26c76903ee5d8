"""What everyone in a run shares."""

import dataclasses
import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.fire.history import History
from benchmarks.fire.shelf import Shelf


@dataclass(frozen=True)
class Rates:
    """How many clients there are, and what all of a kind together ask for in a second."""

    writers: int = 4
    writes_s: float = 20.0
    searchers: int = 4
    searches_s: float = 20.0


@dataclass
class Scene:
    """`spaces` are those that searches may demand; `ended` tells everybody to stop."""

    port: int
    collection: str
    seed: int
    corpus: Sequence[str] = ()
    rates: Rates = Rates()
    spaces: tuple[str, ...] = ()
    history: History = field(default_factory=History)
    shelf: Shelf = field(default_factory=Shelf)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def path(self) -> str:
        return f"/v1/collections/{self.collection}"

    def act(self) -> "Scene":
        """The same with an end of its own."""
        return dataclasses.replace(self, ended=threading.Event())

    def chance(self, who: str) -> random.Random:
        """The same for the same seed, another for everyone."""
        return random.Random(f"{self.seed} {who}")
