"""Judges what the tables hold by what the clients were told."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from benchmarks import metrics
from benchmarks.fire import possible
from benchmarks.fire.faults import Fault
from benchmarks.fire.history import History
from benchmarks.fire.stored import Document, Index, Stored, Vector

# The vectors of a text, made anew, lie next to those of halfvec; those of two texts do not.
EQUAL = 0.99
# Gives the vectors of texts in the space of a fingerprint, (texts, dimensions).
Embed = Callable[[str, Sequence[str]], NDArray[np.float32]]


def judge(stored: Stored, history: History, embed: Embed) -> Iterator[Fault]:
    yield from _documents(stored, history)
    by_key = {document.key: document for document in stored.documents}
    for index in stored.indexes:
        yield from _rows(index, by_key)
    yield from vectors(stored, embed)


def vectors(stored: Stored, embed: Embed) -> Iterator[Fault]:
    """Each vector that counts is that of its chunk, made anew."""
    by_key = {document.key: document for document in stored.documents}
    for index in stored.indexes:
        yield from _vectors(index, by_key, embed)


def lacking(stored: Stored) -> dict[int, int]:
    """By index, the documents without vectors that are known to wait for them."""
    return {
        index.id: sum(document.key in index.pending for document in _without(index, stored))
        for index in stored.indexes
    }


def orphans(stored: Stored) -> dict[int, int]:
    """By index, the rows that never count: of deleted documents, or of former texts."""
    hashes = {document.key: document.text_hash for document in stored.documents}
    return {
        index.id: sum(hashes.get(row.key) != row.text_hash for row in index.vectors)
        for index in stored.indexes
    }


def _without(index: Index, stored: Stored) -> list[Document]:
    having = {(row.key, row.text_hash) for row in index.vectors}
    return [one for one in stored.documents if (one.key, one.text_hash) not in having]


def _documents(stored: Stored, history: History) -> Iterator[Fault]:
    by_id = {document.id: document for document in stored.documents}
    for count in (Counter(document.id for document in stored.documents)).items():
        if count[1] > 1:
            yield Fault("duplicate", f"{count[0]} is stored {count[1]} times")
    for id_ in sorted(history.writes.keys() | by_id.keys()):
        writes, document = history.writes.get(id_, []), by_id.get(id_)
        texts = possible.texts(writes)
        if document is None:
            if possible.ABSENT not in texts:
                yield Fault("lost", f"{id_} is gone; it should be {_shown(texts)}")
        elif texts == {possible.ABSENT}:
            yield Fault("resurrected", f"{id_} is there: {document.text!r}")
        elif document.text not in texts:
            yield Fault("lost", f"{id_} is {document.text!r}; it should be {_shown(texts)}")
        elif document.no not in (numbers := possible.numbers(writes)):
            yield Fault("lost", f"{id_} has metadata {document.no}; they should be {numbers}")


def _shown(texts: possible.Values) -> str:
    return " or ".join(sorted(map(repr, texts)))


def _rows(index: Index, by_key: dict[UUID, Document]) -> Iterator[Fault]:
    where = f"in index {index.id} ({index.state})"
    rows: dict[UUID, list[Vector]] = defaultdict(list)
    for row in index.vectors:
        document = by_key.get(row.key)
        if row.space_id != index.space_id:
            yield Fault("mixed-space", f"{row.key} {where}: a vector of space {row.space_id}")
        if document is not None and document.text_hash == row.text_hash:
            rows[row.key].append(row)
    for key, document in by_key.items():
        if not rows[key]:
            if key not in index.pending:
                yield Fault("missing", f"{document.id} has no vector {where}, and none is pending")
        elif (wrong := _misfit(rows[key], document.text)) is not None:
            yield Fault("duplicate", f"{document.id} {where}: {wrong}")


def _misfit(rows: list[Vector], text: str) -> str | None:
    """What is wrong with the chunks of one document: they have to cover its text, each once."""
    ordered = sorted(rows, key=lambda row: row.chunk_no)
    numbers = [row.chunk_no for row in ordered]
    if numbers != list(range(len(ordered))):
        return f"chunks {numbers}"
    spans = [(row.start, row.end) for row in ordered]
    gaps = any(after[0] > before[1] for before, after in itertools.pairwise(spans))
    if gaps or spans[0][0] > 0 or spans[-1][1] < len(text.rstrip()):
        return f"chunks {spans} of a text of {len(text)}"
    return None


def _vectors(index: Index, by_key: dict[UUID, Document], embed: Embed) -> Iterator[Fault]:
    counting = [
        (row, document)
        for row in index.vectors
        if (document := by_key.get(row.key)) is not None
        and document.text_hash == row.text_hash
        # Of another dimension it would have no cosine; such a table takes none.
        and row.embedding is not None
    ]
    if not counting:
        return
    truth = embed(
        index.fingerprint, [document.text[row.start : row.end] for row, document in counting]
    )
    stored = np.stack([row.embedding for row, _ in counting if row.embedding is not None])
    for cosine, (row, document) in zip(metrics.cosines(stored, truth), counting, strict=True):
        if not cosine >= EQUAL:
            yield Fault(
                "stale",
                f"{document.id}, chunk {row.chunk_no} in index {index.id} ({index.state}): its "
                f"vector is another text's (cosine {cosine:.3f})",
            )
