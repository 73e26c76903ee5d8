"""Texts with their chunks and vectors: what writes and the backlog store."""

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

# What a process that is killed may have to embed again, for each that it has in flight.
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
    """All texts in their order, their chunks encoded together. Raises EncoderFailed."""
    return await encode_chunks(loaded, await loaded.model.prepare(texts, cutting), urgency)


def batches(pieces: Sequence[tuple[T, Cut]]) -> Iterator[list[tuple[T, Cut]]]:
    """Whole texts whose shortest chunks are alike, with at most 64 chunks together or one text.

    The shortest chunk is usually the last: the others are about as long as chunks may be. By the
    longest one there was more padding, 6.7 instead of 5.5 % of the tokens (docs/decisions.md).
    """
    batch: list[tuple[T, Cut]] = []
    size = 0
    for piece in sorted(pieces, key=lambda piece: _shortest(piece[1]), reverse=True):
        count = chunks(piece[1])
        if batch and size + count > BATCH_CHUNKS:
            yield batch
            batch, size = [], 0
        batch.append(piece)
        size += count
    if batch:
        yield batch


def chunks(cut: Cut) -> int:
    return 1 if isinstance(cut, NoTokens) else len(cut.chunks)


def _shortest(cut: Cut) -> int:
    """Tokens of its shortest chunk."""
    if isinstance(cut, NoTokens):
        return 0
    return min(chunk.token_count for chunk in cut.chunks)


async def encode_chunks(
    loaded: Loaded,
    found: Sequence[Cut],
    urgency: Urgency = Urgency.WRITE,
) -> list[TextVectors | TextFailure]:
    """As `embed`, of texts that are cut into chunks already."""
    flat = [
        chunk
        for prepared in found
        if isinstance(prepared, chunking.Prepared)
        for chunk in prepared.chunks
    ]
    encoded = await loaded.model.encode_chunks(flat, urgency)
    space_id = loaded.space_of(encoded)
    done: list[TextVectors | TextFailure] = []
    start = 0
    for prepared in found:
        if isinstance(prepared, NoTokens):
            done.append(TextFailure("no-tokens", str(prepared)))
            continue
        stop = start + len(prepared.chunks)
        bad = [encoded.failures[no] for no in range(start, stop) if no in encoded.failures]
        done.append(
            TextFailure("encoder-failed", bad[0])
            if bad
            else TextVectors(prepared, encoded.vectors[start:stop], space_id)
        )
        start = stop
    return done


@dataclass(frozen=True, eq=False)
class WrittenVectors:
    """What became of one document's text: vectors, or the reason why there are none."""

    doc_key: UUID
    text_hash: bytes
    done: TextVectors | TextFailure

    @property
    def chunks(self) -> int:
        return len(self.done.prepared.chunks) if isinstance(self.done, TextVectors) else 0


async def write_texts(
    conn: AsyncConnection, index: IndexRow, filled: Sequence[WrittenVectors]
) -> list[WrittenVectors]:
    """In the caller's transaction, which has entered the fence; what was written.

    Documents that changed or are gone meanwhile are left out. What failed is set aside with its
    reason.
    """
    hashes = await documents.lock(conn, [one.doc_key for one in filled])
    present = [one for one in filled if hashes.get(one.doc_key) == one.text_hash]
    await write_vectors(conn, index, present)
    return present


async def write_vectors(
    conn: AsyncConnection, index: IndexRow, filled: Sequence[WrittenVectors]
) -> None:
    """As `write`, of documents that the caller has locked with these texts."""
    good = [(one, one.done) for one in filled if isinstance(one.done, TextVectors)]
    await vectors.remove(conn, index.id, [one.doc_key for one in filled])
    rows = [row for one, done in good for row in done.rows(one.doc_key, one.text_hash)]
    await vectors.copy_in(conn, index.id, rows)
    bad = [
        (one.doc_key, one.text_hash, f"{one.done.reason}: {one.done.detail}")
        for one in filled
        if isinstance(one.done, TextFailure)
    ]
    if bad:
        await pending.set_aside(conn, index.id, bad)
