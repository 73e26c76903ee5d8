"""Checks what the tables contain against the acknowledged writes."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from benchmarks import metrics
from benchmarks.fire import possible_values
from benchmarks.fire.faults import Fault
from benchmarks.fire.history import History
from benchmarks.fire.snapshot import Document, Index, Snapshot, Vector

# Cosine of a text's new vector to its stored halfvec is above this; of two different texts, below.
SAME_TEXT = 0.99
# Embeds texts in the space with a fingerprint: (texts, dimensions).
Embed = Callable[[str, Sequence[str]], NDArray[np.float32]]


def check(snapshot: Snapshot, history: History, embed: Embed) -> Iterator[Fault]:
    yield from _check_documents(snapshot, history)
    by_key = {document.key: document for document in snapshot.documents}
    for index in snapshot.indexes:
        yield from _check_rows(index, by_key)
    yield from check_vectors(snapshot, embed)


def check_vectors(snapshot: Snapshot, embed: Embed) -> Iterator[Fault]:
    """Each vector that counts equals a newly computed vector of its chunk."""
    by_key = {document.key: document for document in snapshot.documents}
    for index in snapshot.indexes:
        yield from _check_vectors(index, by_key, embed)


def waiting_documents(snapshot: Snapshot) -> dict[int, int]:
    """By index, the number of documents without vectors that are marked as pending."""
    return {
        index.id: sum(
            document.key in index.pending for document in _without_vectors(index, snapshot)
        )
        for index in snapshot.indexes
    }


def orphans(snapshot: Snapshot) -> dict[int, int]:
    """By index, the number of rows that never count: of deleted documents or former texts."""
    hashes = {document.key: document.text_hash for document in snapshot.documents}
    return {
        index.id: sum(hashes.get(row.key) != row.text_hash for row in index.vectors)
        for index in snapshot.indexes
    }


def _without_vectors(index: Index, snapshot: Snapshot) -> list[Document]:
    with_vectors = {(row.key, row.text_hash) for row in index.vectors}
    return [
        document
        for document in snapshot.documents
        if (document.key, document.text_hash) not in with_vectors
    ]


def _check_documents(snapshot: Snapshot, history: History) -> Iterator[Fault]:
    by_id = {document.id: document for document in snapshot.documents}
    for count in (Counter(document.id for document in snapshot.documents)).items():
        if count[1] > 1:
            yield Fault("duplicate", f"{count[0]} is stored {count[1]} times")
    for id_ in sorted(history.writes.keys() | by_id.keys()):
        writes, document = history.writes.get(id_, []), by_id.get(id_)
        texts = possible_values.texts(writes)
        if document is None:
            if possible_values.ABSENT not in texts:
                yield Fault("lost", f"{id_} is gone; expected {_describe(texts)}")
        elif texts == {possible_values.ABSENT}:
            yield Fault("resurrected", f"{id_} exists: {document.text!r}")
        elif document.text not in texts:
            yield Fault("lost", f"{id_} is {document.text!r}; expected {_describe(texts)}")
        elif document.no not in (numbers := possible_values.numbers(writes)):
            yield Fault("lost", f"{id_} has metadata {document.no}; expected {numbers}")


def _describe(texts: possible_values.Values) -> str:
    return " or ".join(sorted(map(repr, texts)))


def _check_rows(index: Index, by_key: dict[UUID, Document]) -> Iterator[Fault]:
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
        elif (wrong := _chunk_fault(rows[key], document.text)) is not None:
            yield Fault("duplicate", f"{document.id} {where}: {wrong}")


def _chunk_fault(rows: list[Vector], text: str) -> str | None:
    """What is wrong with the chunks of a document, which must cover its text exactly once."""
    ordered = sorted(rows, key=lambda row: row.chunk_no)
    numbers = [row.chunk_no for row in ordered]
    if numbers != list(range(len(ordered))):
        return f"chunks {numbers}"
    spans = [(row.start, row.end) for row in ordered]
    gaps = any(after[0] > before[1] for before, after in itertools.pairwise(spans))
    if gaps or spans[0][0] > 0 or spans[-1][1] < len(text.rstrip()):
        return f"chunks {spans} of a text of {len(text)}"
    return None


def _check_vectors(index: Index, by_key: dict[UUID, Document], embed: Embed) -> Iterator[Fault]:
    counting = [
        (row, document)
        for row in index.vectors
        if (document := by_key.get(row.key)) is not None
        and document.text_hash == row.text_hash
        # All have the same dimensions: the table accepts no others.
        and row.embedding is not None
    ]
    if not counting:
        return
    truth = embed(
        index.fingerprint, [document.text[row.start : row.end] for row, document in counting]
    )
    snapshot = np.stack([row.embedding for row, _ in counting if row.embedding is not None])
    for cosine, (row, document) in zip(metrics.cosines(snapshot, truth), counting, strict=True):
        if not cosine >= SAME_TEXT:
            yield Fault(
                "stale",
                f"{document.id}, chunk {row.chunk_no} in index {index.id} ({index.state}): its "
                f"vector belongs to another text (cosine {cosine:.3f})",
            )
