"""Nearest-neighbour search in one index, grouped by document."""

import dataclasses
from collections.abc import Collection
from typing import Literal
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import HalfVector
from sqlalchemy import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection

from storage import engine, errors, filters
from storage.indexes import IndexRow
from storage.tables import documents

# pgvector's upper bound of hnsw.ef_search: no HNSW scan returns more rows.
MAX_EF_SEARCH = 1000
MIN_EF_SEARCH = 100
_MAX_EXACT_ROWS = 1_000_000
_EF_SEARCH = "hnsw.ef_search"


@dataclasses.dataclass(frozen=True)
class Hit:
    """A document by its best chunk; `score` is the cosine similarity."""

    doc_key: UUID
    id: str
    score: float
    metadata: dict[str, object]
    chunk_no: int
    char_start: int
    char_end: int
    text: str


@dataclasses.dataclass(frozen=True)
class Nearest:
    """`complete` is false only if widening reached its limit with too few documents."""

    hits: list[Hit]
    path: Literal["exact", "hnsw"]
    complete: bool


# Finds the nearest rows, drops those that do not count, keeps the best of each document, and only
# then reads texts. The first column asserts the index that the query was encoded for.
_STATEMENT = """
WITH near AS MATERIALIZED (
  SELECT v.doc_key, v.chunk_no, v.text_hash, v.char_start, v.char_end, {distance} AS distance
  FROM {table} v {condition} ORDER BY {distance} LIMIT {rows}
), best AS (
  SELECT DISTINCT ON (near.doc_key) near.*
  FROM near JOIN documents d ON d.doc_key = near.doc_key AND d.text_hash = near.text_hash
  {excluded}
  ORDER BY near.doc_key, near.distance
), top AS (
  SELECT * FROM best ORDER BY distance, doc_key LIMIT {limit}
)
SELECT c.active_index_id, (SELECT count(*) FROM near), r.*
FROM collections c LEFT JOIN (
  SELECT d.doc_key, d.id, 1 - top.distance AS score, d.metadata, top.chunk_no, top.char_start,
         top.char_end, substring(d.text FROM top.char_start + 1
                                 FOR top.char_end - top.char_start) AS chunk_text
  FROM top JOIN documents d ON d.doc_key = top.doc_key AND d.text_hash = top.text_hash
) r ON true
WHERE c.id = %(collection)s
ORDER BY r.score DESC, r.doc_key
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Query:
    """`vector` is (dimensions,) float32 of unit length in the index's space.

    `exact` forces a scan; `excluded` leaves out a document, to find those similar to it; without
    `as_active` an index can be searched, for comparison, that is not the active one.
    """

    vector: NDArray[np.float32]
    limit: int
    exact: bool = False
    condition: filters.Filter | None = None
    excluded: UUID | None = None
    as_active: bool = True


@dataclasses.dataclass(frozen=True)
class _Plan:
    """How the next statement searches: its path, its width, its condition."""

    exact: bool
    rows: int
    condition: str
    parameters: dict[str, object]

    def wider(self) -> "_Plan":
        rows = self.rows * 4
        exact = self.exact or rows > MAX_EF_SEARCH
        return dataclasses.replace(self, rows=rows, exact=exact)


async def nearest(conn: AsyncConnection, index: IndexRow, query: Query) -> Nearest:
    """The `limit` nearest documents; the search widens until it has them or no rows are left.

    `conn` is in autocommit. Raises IndexChanged if `index` is no longer the active one.
    """
    connection = await engine.driver(conn)
    plan = _first_plan(conn.dialect, index, query)
    while True:
        if not plan.exact:
            await _set_ef_search(conn, max(index.ef_search or MIN_EF_SEARCH, plan.rows))
        scanned, hits = await _run(connection, index, query, plan)
        exhausted = plan.exact and scanned < plan.rows
        if len(hits) >= query.limit or exhausted or plan.rows >= _MAX_EXACT_ROWS:
            complete = len(hits) >= query.limit or exhausted
            return Nearest(hits, "exact" if plan.exact else "hnsw", complete)
        plan = plan.wider()


def _first_plan(dialect: Dialect, index: IndexRow, query: Query) -> _Plan:
    parameters: dict[str, object] = {"collection": index.collection_id}
    if query.excluded is not None:
        parameters["excluded"] = query.excluded
    condition = ""
    if query.condition is not None:
        condition = _filter_join(dialect, query.condition, parameters)
    # A few rows more than requested, for chunks of one document and vectors that do not count.
    rows = query.limit + 10
    exact = bool(query.exact or condition or index.hnsw != "ready" or rows > MAX_EF_SEARCH)
    return _Plan(exact, rows, condition, parameters)


async def _set_ef_search(conn: AsyncConnection, ef_search: int) -> None:
    """Set it for the connection, unless it is set already.

    SET LOCAL would need a transaction: three more round trips for each search. SQLAlchemy keeps
    `conn.info` for as long as the connection to the server, in the pool and out of it, and empties
    it with a reconnect.
    """
    if conn.info.get(_EF_SEARCH) == ef_search:
        return
    connection = await engine.driver(conn)
    await connection.execute("SELECT set_config(%s, %s, false)", (_EF_SEARCH, str(ef_search)))
    conn.info[_EF_SEARCH] = ef_search


async def _run(
    connection: psycopg.AsyncConnection,
    index: IndexRow,
    query: Query,
    plan: _Plan,
) -> tuple[int, list[Hit]]:
    parameters = {**plan.parameters, "vector": HalfVector(query.vector)}
    async with connection.cursor(binary=True) as cursor:
        try:
            await cursor.execute(_compose(index, query, plan), parameters)
        except psycopg.errors.UndefinedTable as error:
            raise errors.IndexChanged(index.table) from error
        rows = await cursor.fetchall()
    if not rows or (query.as_active and rows[0][0] != index.id):
        raise errors.IndexChanged(index.table)
    return rows[0][1], [Hit(*row[2:]) for row in rows if row[2] is not None]


def _compose(index: IndexRow, query: Query, plan: _Plan) -> str:
    distance = "v.embedding <=> %(vector)s"
    return _STATEMENT.format(
        table=index.table,
        # An expression cannot use the HNSW index, so the service chooses the path, not the planner.
        # It must be the same in both places, or each distance is computed twice (9.9 instead of
        # 8.6 ms over 10,000 rows).
        distance=f"({distance}) + 0" if plan.exact else distance,
        condition=plan.condition,
        rows=int(plan.rows),
        excluded="" if query.excluded is None else "WHERE near.doc_key <> %(excluded)s",
        limit=int(query.limit),
    )


def _filter_join(dialect: Dialect, condition: filters.Filter, parameters: dict[str, object]) -> str:
    """A join that keeps documents whose metadata match; its values are added to `parameters`."""
    compiled = filters.clause(condition).compile(
        dialect=dialect, compile_kwargs={"render_postcompile": True}
    )
    parameters.update(compiled.params)
    name = documents.name
    return (
        f"JOIN {name} ON {name}.doc_key = v.doc_key AND {name}.text_hash = v.text_hash"
        f" AND ({compiled})"
    )


async def nearest_distances(
    conn: AsyncConnection,
    index: IndexRow,
    vector: NDArray[np.float32],
    k: int,
    *,
    ef_search: int | None,
) -> list[float]:
    """Cosine distances of the k nearest rows, ascending; exact if `ef_search` is None."""
    connection = await engine.driver(conn)
    distance = "embedding <=> %(vector)s"
    if ef_search is None:
        distance = f"({distance}) + 0"
    else:
        await _set_ef_search(conn, ef_search)
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(
            f"SELECT {distance} FROM {index.table} ORDER BY {distance} LIMIT {k:d}",
            {"vector": HalfVector(vector)},
        )
        return [row[0] for row in await cursor.fetchall()]


async def score_documents(
    conn: AsyncConnection,
    index: IndexRow,
    vector: NDArray[np.float32],
    doc_keys: Collection[UUID],
) -> dict[UUID, float]:
    """Cosine similarities of the best chunks, equal to the scores of a search.

    Documents without vectors that count are left out.
    """
    connection = await engine.driver(conn)
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(
            f"SELECT v.doc_key, 1 - min(v.embedding <=> %s) FROM {index.table} v"
            " JOIN documents d ON d.doc_key = v.doc_key AND d.text_hash = v.text_hash"
            " WHERE v.doc_key = ANY(%s) GROUP BY v.doc_key",
            (HalfVector(vector), list(doc_keys)),
        )
        return {row[0]: row[1] for row in await cursor.fetchall()}
