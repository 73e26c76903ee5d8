"""Append-only record of requests, answers and kills; times are from the monotonic clock."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

# A put sets text and metadata, a patch only the metadata.
Kind = Literal["put", "patch", "delete"]
# `failed`: certainly not done. `unknown`: it may take effect at any later time, or never.
Outcome = Literal["ok", "failed", "unknown"]
NOT_FOUND = 404
# No answer came.
LOST = 0


@dataclass(frozen=True, kw_only=True)
class Write:
    """One document's part of a write request; `no` is the number in its metadata.

    A delete answered by 404 is `ok`: the document isn't there.
    """

    doc: str
    kind: Kind
    invoked: float
    answered: float
    outcome: Outcome
    status: int = 200
    text: str | None = None
    no: int | None = None
    detail: str = ""


@dataclass(frozen=True)
class Hit:
    """A document in an answer, with the chunk it shows and the number in its metadata."""

    doc: str
    text: str
    start: int
    end: int
    no: int | None = None


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search and its answer.

    `doc`: the document whose whole text was the query, if any. `expects`: the expected space.
    """

    invoked: float
    answered: float
    query: str
    status: int = 200
    doc: str | None = None
    exact: bool = False
    expects: str | None = None
    space: str = ""
    index: int = 0
    hits: tuple[Hit, ...] = ()
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """The migration's status at one time."""

    invoked: float
    answered: float
    state: str
    documents: int = 0
    chunks: int = 0
    pending: int = 0
    workers: int = 0
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Kill:
    """`back`: when the killed process had been restarted."""

    victim: str
    pid: int
    at: float
    back: float = math.inf


@dataclass
class History:
    """Filled by many threads at once; read when they have ended."""

    writes: dict[str, list[Write]] = field(default_factory=dict)
    searches: list[Search] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    # Processes that exited on their own, with the end of their log.
    deaths: list[str] = field(default_factory=list)
    # When the migration made no progress.
    stalls: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add_writes(self, *writes: Write) -> None:
        with self._lock:
            for event in writes:
                self.writes.setdefault(event.doc, []).append(event)

    def add_search(self, event: Search) -> None:
        with self._lock:
            self.searches.append(event)

    def add_observation(self, event: Observation) -> None:
        with self._lock:
            self.observations.append(event)

    def add_kill(self, event: Kill) -> None:
        with self._lock:
            self.kills.append(event)

    def add_stall(self, description: str) -> None:
        with self._lock:
            self.stalls.append(description)

    def add_death(self, description: str) -> None:
        with self._lock:
            self.deaths.append(description)

    def count(self, matches: Callable[[Write], Any] = bool) -> int:
        return sum(1 for writes in self.writes.values() for write in writes if matches(write))
