"""Judges the answers of searches by what the clients had been told before, and meanwhile."""

from collections.abc import Iterator

from benchmarks.fire import possible
from benchmarks.fire.cutover import Cutover
from benchmarks.fire.faults import Fault
from benchmarks.fire.history import NOT_FOUND, History, Search
from benchmarks.fire.windows import Windows

CONFLICT = 409


def judge(history: History, windows: Windows, cutover: Cutover) -> Iterator[Fault]:
    for search in history.searches:
        if search.status == CONFLICT and search.expects is not None:
            yield from _space(search, cutover)
        elif search.status != 200:
            yield from _error(search, windows)
        else:
            yield from _space(search, cutover)
            yield from _hits(search, history)
            yield from _missed(search, history)
    yield from _not_there(history)


def _space(search: Search, cutover: Cutover) -> Iterator[Fault]:
    wrong = cutover.wrong(search)
    if wrong is not None:
        yield Fault("mixed-space", f"search at {search.invoked:.2f}: {wrong}")


def _error(search: Search, windows: Windows) -> Iterator[Fault]:
    if not windows.meet(search.invoked, search.answered):
        took = search.answered - search.invoked
        yield Fault(
            "search-error",
            f"{search.status or 'connection lost'} at {search.invoked:.2f} after {took:.2f} s: "
            f"{search.detail}",
        )


def _hits(search: Search, history: History) -> Iterator[Fault]:
    """Each found document must be one that was there, with a text that it had."""
    seen = set()
    for hit in search.hits:
        if hit.doc in seen:
            yield Fault("duplicate", f"{hit.doc} found twice by the search at {search.invoked:.2f}")
        seen.add(hit.doc)
        writes = history.writes.get(hit.doc, [])
        allowed = possible.texts(writes, search.invoked, search.answered)
        if allowed == {possible.ABSENT}:
            yield Fault("resurrected", f"{hit.doc} found at {search.invoked:.2f}: {hit.text!r}")
        elif not any(
            isinstance(text, str) and text[hit.start : hit.end] == hit.text for text in allowed
        ):
            yield Fault("stale", f"{hit.doc} found at {search.invoked:.2f} by {hit.text!r}")
        elif hit.no not in possible.numbers(writes, search.invoked, search.answered):
            yield Fault("stale", f"{hit.doc} found at {search.invoked:.2f} with metadata {hit.no}")


def _missed(search: Search, history: History) -> Iterator[Fault]:
    """A document that must be there, searched exactly by its own whole text, is found."""
    if search.doc is None or not search.exact:
        return
    writes = history.writes.get(search.doc, [])
    allowed = possible.texts(writes, search.invoked, search.answered)
    if allowed == {search.query} and search.doc not in {hit.doc for hit in search.hits}:
        yield Fault(
            "stale",
            f"{search.doc} not found at {search.invoked:.2f} by its own text "
            f"in index {search.index}: {search.query!r}",
        )


def _not_there(history: History) -> Iterator[Fault]:
    """A document that must have been there, but was answered by 404."""
    for doc, writes in history.writes.items():
        for no, write in enumerate(writes):
            if write.status != NOT_FOUND:
                continue
            others = [*writes[:no], *writes[no + 1 :]]
            allowed = possible.texts(others, write.invoked, write.answered)
            if possible.ABSENT not in allowed:
                yield Fault("lost", f"{doc}: {write.kind} at {write.invoked:.2f} answered by 404")
