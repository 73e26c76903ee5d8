"""What was asked, when, and what was answered: append-only, times by the monotonic clock."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

# A put sets text and metadata, a patch the metadata alone.
Kind = Literal["put", "patch", "delete"]
# `failed`: surely not done. `unknown`: it may take effect at any later time, or never.
Outcome = Literal["ok", "failed", "unknown"]
NOT_FOUND = 404
# No answer came.
LOST = 0


@dataclass(frozen=True, kw_only=True)
class Write:
    """One document's part of a request; `no` is what its metadata say.

    A delete that was answered by 404 is `ok`: the document is not there.
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
    """A document found, with the chunk that the answer showed and the number in its metadata."""

    doc: str
    text: str
    start: int
    end: int
    no: int | None = None


@dataclass(frozen=True, kw_only=True)
class Search:
    """`doc`: the document whose whole text was the query, where it was one's.

    `expects`: the space demanded.
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
class Look:
    """The migration as it was shown once."""

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
    """`back`: when what was killed was there again, as far as anyone could ask for it."""

    victim: str
    pid: int
    at: float
    back: float = math.inf


@dataclass
class History:
    """Filled by many threads at a time; read when they have ended."""

    writes: dict[str, list[Write]] = field(default_factory=dict)
    searches: list[Search] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    # Processes that ended by themselves, and the end of their log.
    deaths: list[str] = field(default_factory=list)
    # Where the migration did not go on.
    stalls: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wrote(self, *writes: Write) -> None:
        with self._lock:
            for one in writes:
                self.writes.setdefault(one.doc, []).append(one)

    def searched(self, one: Search) -> None:
        with self._lock:
            self.searches.append(one)

    def looked(self, one: Look) -> None:
        with self._lock:
            self.looks.append(one)

    def killed(self, one: Kill) -> None:
        with self._lock:
            self.kills.append(one)

    def stalled(self, what: str) -> None:
        with self._lock:
            self.stalls.append(what)

    def died(self, what: str) -> None:
        with self._lock:
            self.deaths.append(what)

    def count(self, fits: Callable[[Write], Any] = bool) -> int:
        return sum(1 for writes in self.writes.values() for one in writes if fits(one))
