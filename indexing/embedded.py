"""Texts with their chunks and vectors: what writes and the backlog store."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TypeVar
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from embedding import chunking
from embedding.errors import NoTokens
from embedding.scheduler import Urgency
from indexing.loaded import Loaded
from storage.vectors import VectorRow

# What a process that is killed may have to embed again, for each that it has in flight.
BATCH_CHUNKS = 64

T = TypeVar("T")
Cut = chunking.Prepared | NoTokens


@dataclasses.dataclass(frozen=True)
class Embedded:
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
class Failure:
    """Why a text has no vectors: `no-tokens` or `encoder-failed`."""

    reason: str
    detail: str


async def embed(
    loaded: Loaded,
    texts: Sequence[str],
    cutting: chunking.Chunking,
    urgency: Urgency = Urgency.WRITE,
) -> list[Embedded | Failure]:
    """All texts in their order, their chunks encoded together. Raises EncoderFailed."""
    return await encode(loaded, await loaded.model.prepare(texts, cutting), urgency)


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


async def encode(
    loaded: Loaded,
    found: Sequence[Cut],
    urgency: Urgency = Urgency.WRITE,
) -> list[Embedded | Failure]:
    """As `embed`, of texts that are cut into chunks already."""
    flat = [
        chunk
        for prepared in found
        if isinstance(prepared, chunking.Prepared)
        for chunk in prepared.chunks
    ]
    encoded = await loaded.model.encode_chunks(flat, urgency)
    space_id = loaded.space_of(encoded)
    done: list[Embedded | Failure] = []
    start = 0
    for prepared in found:
        if isinstance(prepared, NoTokens):
            done.append(Failure("no-tokens", str(prepared)))
            continue
        stop = start + len(prepared.chunks)
        bad = [encoded.failures[no] for no in range(start, stop) if no in encoded.failures]
        done.append(
            Failure("encoder-failed", bad[0])
            if bad
            else Embedded(prepared, encoded.vectors[start:stop], space_id)
        )
        start = stop
    return done
