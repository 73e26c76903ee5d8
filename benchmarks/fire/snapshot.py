"""Reads what the tables contain at the end of a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import numpy as np
import pgvector.psycopg
import psycopg
from numpy.typing import NDArray

from benchmarks import service

Embedding = NDArray[np.float32]


@dataclass(frozen=True)
class Document:
    key: UUID
    id: str
    text: str
    text_hash: bytes
    no: int | None = None


@dataclass(frozen=True, eq=False)
class Vector:
    """A row of a vectors table; `embedding` is (dimensions,)."""

    key: UUID
    chunk_no: int
    text_hash: bytes
    space_id: int
    start: int
    end: int
    embedding: Embedding | None = None


@dataclass(frozen=True)
class Index:
    """A live index; `pending` has the keys of documents whose vectors are known to be missing."""

    id: int
    state: str
    space_id: int
    fingerprint: str
    vectors: list[Vector] = field(default_factory=list)
    pending: frozenset[UUID] = frozenset()


@dataclass(frozen=True)
class Snapshot:
    documents: list[Document]
    indexes: list[Index]


@contextmanager
def connected(data: Path) -> Iterator[psycopg.Connection]:
    """A connection to the embedded database of running services."""
    with service.database_url(data) as url, psycopg.connect(url, autocommit=True) as connection:
        pgvector.psycopg.register_vector(connection)
        yield connection


def waiting(sql: psycopg.Connection) -> list[str]:
    """Pending documents by index and how long they are leased: why a migration may stand still."""
    rows = sql.execute(
        "SELECT format('index %s (%s): %s pending, %s tries, leased for %s s', p.index_id, i.state,"
        " count(*), max(p.attempts), round(extract(epoch FROM max(p.lease_until) - now())))"
        " FROM pending p JOIN indexes i ON i.id = p.index_id GROUP BY p.index_id, i.state"
    )
    return [row[0] for row in rows.fetchall()]


def read(sql: psycopg.Connection, collection: str) -> Snapshot:
    """Read everything in one database snapshot."""
    with sql.transaction():
        sql.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        collection_row = sql.execute(
            "SELECT id FROM collections WHERE name = %s", (collection,)
        ).fetchone()
        assert collection_row is not None, f"collection {collection} doesn't exist"
        documents = sql.execute(
            "SELECT doc_key, id, text, text_hash, (metadata->>'no')::int FROM documents"
            " WHERE collection_id = %s",
            collection_row,
        ).fetchall()
        live = sql.execute(
            "SELECT i.id, i.state, i.space_id, s.fingerprint FROM indexes i"
            " JOIN spaces s ON s.id = i.space_id WHERE i.collection_id = %s"
            " AND i.state <> 'retired' ORDER BY i.id",
            collection_row,
        ).fetchall()
        indexes = [_index(sql, *row) for row in live]
    return Snapshot([Document(*row) for row in documents], indexes)


def _index(
    sql: psycopg.Connection, index_id: int, state: str, space_id: int, fingerprint: str
) -> Index:
    pending = sql.execute("SELECT doc_key FROM pending WHERE index_id = %s", (index_id,)).fetchall()
    with sql.cursor(binary=True) as cursor:
        cursor.execute(
            "SELECT doc_key, chunk_no, text_hash, space_id, char_start, char_end, embedding"
            f" FROM vectors_{index_id:d} ORDER BY doc_key, chunk_no"
        )
        vectors = [
            Vector(key, no, digest, space, start, end, embedding.to_numpy())
            for key, no, digest, space, start, end, embedding in cursor.fetchall()
        ]
    return Index(
        index_id, state, space_id, fingerprint, vectors, frozenset(row[0] for row in pending)
    )
