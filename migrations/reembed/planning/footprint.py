"""Disk space of a new index, computed from how PostgreSQL fills its pages."""

import math
from dataclasses import dataclass

from storage import vector_tables, vectors

_PAGE = 8192
# Usable bytes of a page: without its header and, in HNSW, its special space.
_HEAP_ROOM, _HNSW_ROOM = 8168, 8160
_POINTER = 4  # to each tuple in a page
_TUPLE_HEADER = 24
# doc_key, chunk_no, text_hash, space_id, char_start, char_end and token_count, with alignment.
_NARROW_COLUMNS = 52
# A uuid and an integer with their pointer; pages are about 60 % full after random inserts.
_KEY_BYTES = 36 / 0.6
_TOAST_CHUNK, _TOAST_PER_PAGE = 1996, 4
# pgvector's HNSW: an element without its vector, and its neighbours on level 0.
_ELEMENT_HEADER, _NEIGHBOURS_HEADER, _NEIGHBOUR = 72, 4, 6


@dataclass(frozen=True)
class Footprint:
    """`table_bytes` includes the primary key. The old index stays, so it frees nothing.

    `wal_bytes`: everything is also written to the WAL once, which takes as much again unless a
    checkpoint recycles it. `peak_bytes` is the sum.
    """

    table_bytes: int
    hnsw_bytes: int

    @property
    def wal_bytes(self) -> int:
        return self.table_bytes + self.hnsw_bytes

    @property
    def peak_bytes(self) -> int:
        return self.table_bytes + self.hnsw_bytes + self.wal_bytes


def estimate(rows: int, dimensions: int, *, with_hnsw: bool) -> Footprint:
    """For 39,000 vectors of 384 dimensions: table 0.6 %, HNSW 0.1 % less than measured."""
    return Footprint(
        table_bytes=round(rows * (_row_bytes(dimensions) + _KEY_BYTES)),
        hnsw_bytes=round(rows * _graph_bytes(dimensions)) if with_hnsw else 0,
    )


def _vector_bytes(dimensions: int) -> int:
    """A halfvec: its length and dimensions, then two bytes per dimension."""
    return 8 + 2 * dimensions


def _row_bytes(dimensions: int) -> float:
    """In the heap: a row is in one page, except for vectors too large for it (TOAST)."""
    inline = _vector_bytes(dimensions) if dimensions <= vector_tables.MAX_INLINE_DIMENSIONS else 18
    row = _aligned(_TUPLE_HEADER + _NARROW_COLUMNS + inline) + _POINTER
    heap = _PAGE / (_HEAP_ROOM // row)
    if dimensions <= vector_tables.MAX_INLINE_DIMENSIONS:
        return heap
    return heap + math.ceil(_vector_bytes(dimensions) / _TOAST_CHUNK) * _PAGE / _TOAST_PER_PAGE


def _graph_bytes(dimensions: int) -> float:
    """In HNSW: an element and its neighbours share a page, or each takes a page if too large."""
    element = _aligned(_ELEMENT_HEADER + _vector_bytes(dimensions)) + _POINTER
    neighbours = _aligned(_NEIGHBOURS_HEADER + 2 * vectors.M * _NEIGHBOUR) + _POINTER
    together = _HNSW_ROOM // (element + neighbours)
    return _PAGE / together if together else 2.0 * _PAGE


def _aligned(size: int) -> int:
    return -(-size // 8) * 8
