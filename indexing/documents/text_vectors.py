"""A text's chunks and vectors: encoding them in batches, and writing them to an index."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncConnection

from embedding.errors import NoTokens
from embedding.scheduling.queue import Urgency
from embedding.text import chunking
from indexing.models.loaded import Loaded
from storage import documents, pending, vectors
from storage.indexes import IndexRow
from storage.vectors import VectorRow

# What may have to be embedded again after a process was killed, for each batch in flight.
BATCH_CHUNKS = 64

T = TypeVar("T")
Cut = chunking.Prepared | NoTokens


@dataclasses.dataclass(frozen=True)
class TextVectors:
    """A text's chunks and vectors, (chunks, dimensions), in the space `space_id`."""

    prepared: chunking.Prepared
    vectors: NDArray[np.float32]
    space_id: int

    def rows(self, doc_key: UUID, text_hash: bytes) -> list[VectorRow]:
        return [
            VectorRow(
                doc_key=doc_key,
                chunk_no=chunk.no,
                text_hash=text_hash,
                space_id=self.space_id,
                char_start=chunk.char_start,
                char_end=chunk.char_end,
                token_count=chunk.token_count,
                embedding=vector,
            )
            for chunk, vector in zip(self.prepared.chunks, self.vectors, strict=True)
        ]


@dataclasses.dataclass(frozen=True)
class TextFailure:
    """Why a text has no vectors: `no-tokens` or `encoder-failed`."""

    reason: str
    detail: str


async def embed_texts(
    loaded: Loaded,
    texts: Sequence[str],
    cutting: chunking.Chunking,
    urgency: Urgency = Urgency.WRITE,
) -> list[TextVectors | TextFailure]:
    """Results in the order of the texts; their chunks are encoded together. EncoderFailed."""
    return await encode_chunks(loaded, await loaded.model.prepare(texts, cutting), urgency)


def batches(texts: Sequence[tuple[T, Cut]]) -> Iterator[list[tuple[T, Cut]]]:
    """Texts grouped by the length of their shortest chunk: at most 64 chunks together, or one text.

    The shortest chunk is usually the last: the others are about as long as chunks may be. Sorting
    by the longest one gave more padding, 6.7 instead of 5.5 % of the tokens (docs/decisions.md).
    """
    batch: list[tuple[T, Cut]] = []
    size = 0
    for text in sorted(texts, key=lambda text: _shortest(text[1]), reverse=True):
        count = chunks(text[1])
        if batch and size + count > BATCH_CHUNKS:
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += count
    if batch:
        yield batch


def chunks(cut: Cut) -> int:
    """How many chunks the text counts for in a batch."""
    return 1 if isinstance(cut, NoTokens) else len(cut.chunks)


def _shortest(cut: Cut) -> int:
    """Tokens of the shortest chunk."""
    if isinstance(cut, NoTokens):
        return 0
    return min(chunk.token_count for chunk in cut.chunks)


async def encode_chunks(
    loaded: Loaded,
    texts: Sequence[Cut],
    urgency: Urgency = Urgency.WRITE,
) -> list[TextVectors | TextFailure]:
    """Like `embed_texts`, for texts that are already cut into chunks."""
    flat = [
        chunk
        for prepared in texts
        if isinstance(prepared, chunking.Prepared)
        for chunk in prepared.chunks
    ]
    encoded = await loaded.model.encode_chunks(flat, urgency)
    space_id = loaded.space_of(encoded)
    results: list[TextVectors | TextFailure] = []
    start = 0
    for prepared in texts:
        if isinstance(prepared, NoTokens):
            results.append(TextFailure("no-tokens", str(prepared)))
            continue
        stop = start + len(prepared.chunks)
        failures = [encoded.failures[no] for no in range(start, stop) if no in encoded.failures]
        results.append(
            TextFailure("encoder-failed", failures[0])
            if failures
            else TextVectors(prepared, encoded.vectors[start:stop], space_id)
        )
        start = stop
    return results


@dataclass(frozen=True, eq=False)
class WrittenVectors:
    """The result for one document's text: its vectors, or the reason why there are none."""

    doc_key: UUID
    text_hash: bytes
    result: TextVectors | TextFailure

    @property
    def chunks(self) -> int:
        return len(self.result.prepared.chunks) if isinstance(self.result, TextVectors) else 0


async def write_texts(
    conn: AsyncConnection, index: IndexRow, texts: Sequence[WrittenVectors]
) -> list[WrittenVectors]:
    """Write in the caller's transaction, which has entered the fence; returns what was written.

    Documents that were changed or deleted meanwhile are left out. Failures are set aside with their
    reason.
    """
    hashes = await documents.lock(conn, [text.doc_key for text in texts])
    current = [text for text in texts if hashes.get(text.doc_key) == text.text_hash]
    await write_vectors(conn, index, current)
    return current


async def write_vectors(
    conn: AsyncConnection, index: IndexRow, texts: Sequence[WrittenVectors]
) -> None:
    """Like `write_texts`, for documents that the caller has locked with these texts."""
    await vectors.remove(conn, index.id, [text.doc_key for text in texts])
    rows = [
        row
        for text in texts
        if isinstance(text.result, TextVectors)
        for row in text.result.rows(text.doc_key, text.text_hash)
    ]
    await vectors.copy_in(conn, index.id, rows)
    failures = [
        (text.doc_key, text.text_hash, f"{text.result.reason}: {text.result.detail}")
        for text in texts
        if isinstance(text.result, TextFailure)
    ]
    if failures:
        await pending.set_aside(conn, index.id, failures)
