"""Checks the answers of searches against the writes acknowledged before and during them."""

from collections.abc import Iterator

from benchmarks.fire import possible_values
from benchmarks.fire.cutover import Cutover
from benchmarks.fire.faults import Fault
from benchmarks.fire.history import NOT_FOUND, History, Search
from benchmarks.fire.restart_windows import RestartWindows

CONFLICT = 409


def check(history: History, windows: RestartWindows, cutover: Cutover) -> Iterator[Fault]:
    for search in history.searches:
        if search.status == CONFLICT and search.expects is not None:
            yield from _check_space(search, cutover)
        elif search.status != 200:
            yield from _check_error(search, windows)
        else:
            yield from _check_space(search, cutover)
            yield from _check_hits(search, history)
            yield from _check_missed(search, history)
    yield from _check_not_found(history)


def _check_space(search: Search, cutover: Cutover) -> Iterator[Fault]:
    fault = cutover.fault_in(search)
    if fault is not None:
        yield Fault("mixed-space", f"search at {search.invoked:.2f}: {fault}")


def _check_error(search: Search, windows: RestartWindows) -> Iterator[Fault]:
    if not windows.overlap(search.invoked, search.answered):
        duration = search.answered - search.invoked
        yield Fault(
            "search-error",
            f"{search.status or 'connection lost'} at {search.invoked:.2f} after {duration:.2f} s: "
            f"{search.detail}",
        )


def _check_hits(search: Search, history: History) -> Iterator[Fault]:
    """Each document in an answer must have existed, with a text it had at that time."""
    seen = set()
    for hit in search.hits:
        if hit.doc in seen:
            yield Fault("duplicate", f"{hit.doc} found twice by the search at {search.invoked:.2f}")
        seen.add(hit.doc)
        writes = history.writes.get(hit.doc, [])
        allowed = possible_values.texts(writes, search.invoked, search.answered)
        if allowed == {possible_values.ABSENT}:
            yield Fault("resurrected", f"{hit.doc} found at {search.invoked:.2f}: {hit.text!r}")
        elif not any(
            isinstance(text, str) and text[hit.start : hit.end] == hit.text for text in allowed
        ):
            yield Fault("stale", f"{hit.doc} found at {search.invoked:.2f} by {hit.text!r}")
        elif hit.no not in possible_values.numbers(writes, search.invoked, search.answered):
            yield Fault("stale", f"{hit.doc} found at {search.invoked:.2f} with metadata {hit.no}")


def _check_missed(search: Search, history: History) -> Iterator[Fault]:
    """A document that must exist is found by an exact search for its own whole text."""
    if search.doc is None or not search.exact:
        return
    writes = history.writes.get(search.doc, [])
    allowed = possible_values.texts(writes, search.invoked, search.answered)
    if allowed == {search.query} and search.doc not in {hit.doc for hit in search.hits}:
        yield Fault(
            "stale",
            f"{search.doc} not found at {search.invoked:.2f} by its own text "
            f"in index {search.index}: {search.query!r}",
        )


def _check_not_found(history: History) -> Iterator[Fault]:
    """A document that must have existed isn't answered by 404."""
    for doc, writes in history.writes.items():
        for no, write in enumerate(writes):
            if write.status != NOT_FOUND:
                continue
            other_writes = [*writes[:no], *writes[no + 1 :]]
            allowed = possible_values.texts(other_writes, write.invoked, write.answered)
            if possible_values.ABSENT not in allowed:
                yield Fault("lost", f"{doc}: {write.kind} at {write.invoked:.2f} answered by 404")
