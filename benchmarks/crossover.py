"""Part `crossover`: from how many vectors an HNSW index pays off.

Compares exact scans with HNSW searches, builds and inserts at several sizes, in SQL on vectors
that the service computed. The service itself builds no index here.
"""

import dataclasses
import functools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from pgvector import HalfVector
from pgvector.psycopg import register_vector

from benchmarks import configuration, corpora, service, table
from indexing.hnsw.recall import recall
from storage import search, vectors

PART = "crossover"
COLLECTION = "bench-crossover"
SIZES = (1000, 2000, 5000, 10_000, 20_000)
K = 10
QUERIES = configuration.CROSSOVER_QUERIES
INSERTS = configuration.CROSSOVER_INSERTS
EF_SEARCH = search.MIN_EF_SEARCH
WARM_QUERIES = 10
# Queries per turn: exact scans and HNSW searches alternate.
TURN = 20
# More vectors than the collection has, so the service builds no index meanwhile.
NO_INDEX = {"HNSW_MIN_ROWS": "1000000000"}


class TooFew(configuration.DataMissing):
    """There are too few documents for the smallest table, its queries and inserts."""


@dataclass(frozen=True)
class Connections:
    """`scanning` has the service's settings; `by_index` forbids sequential scans."""

    scanning: psycopg.Connection
    by_index: psycopg.Connection


@dataclass(frozen=True)
class Source:
    """The table of all vectors; its first `rows` include no query and none of the inserted rows."""

    table: str
    rows: int
    queries: Sequence[HalfVector]
    inserts: Sequence[tuple[object, ...]]


@dataclass(frozen=True)
class Measured:
    """Results at `rows` vectors: milliseconds per search, build time, milliseconds per insert."""

    rows: int
    exact: list[float]
    hnsw: list[float]
    recall: float
    planned: str
    build_s: float
    insert_hnsw_ms: float
    insert_ms: float


def run(config: configuration.Config) -> list[table.Row]:
    documents = config.crossover
    if len(documents) < SIZES[0] + QUERIES + INSERTS:
        raise TooFew(
            f"the part crossover needs at least {SIZES[0] + QUERIES + INSERTS:,} documents"
        )
    without_index = dataclasses.replace(config, settings={**config.settings, **NO_INDEX})
    with without_index.emptied(COLLECTION) as running:
        config.log(f"crossover: {len(documents):,} documents as one stream")
        running.client.create(COLLECTION, strategy="none")
        running.client.ingest(COLLECTION, corpora.ndjson(documents))
        index = running.client.get(f"/v1/collections/{COLLECTION}")["index"]
        # The service would close the idle connection; the next request opens a new one.
        running.client.close()
        with _connections(running) as connections:
            source = _source(connections.scanning, f"vectors_{index}")
            sizes = [size for size in SIZES if size <= source.rows]
            return _table_rows([_measure(config, connections, source, size) for size in sizes])


@contextmanager
def _connections(running: service.RunningService) -> Iterator[Connections]:
    with (
        service.database_url(running.data_dir) as url,
        psycopg.connect(url, autocommit=True, prepare_threshold=1) as scanning,
        psycopg.connect(url, autocommit=True, prepare_threshold=1) as by_index,
    ):
        for conn in (scanning, by_index):
            register_vector(conn)
            conn.execute("SELECT set_config('hnsw.ef_search', %s, false)", (str(EF_SEARCH),))
        by_index.execute("SET enable_seqscan = off")
        yield Connections(scanning, by_index)


def _source(conn: psycopg.Connection, name: str) -> Source:
    """Reserve the last vectors as queries and inserted rows, so that no table holds them."""
    reserved = QUERIES + INSERTS
    rows = conn.execute(f"SELECT * FROM {name} ORDER BY doc_key DESC LIMIT {reserved}").fetchall()
    row = conn.execute(f"SELECT count(*) FROM {name}").fetchone()
    assert row is not None
    # The embedding is the last column.
    return Source(name, row[0] - reserved, [row[-1] for row in rows[:QUERIES]], rows[QUERIES:])


def _measure(
    config: configuration.Config, connections: Connections, source: Source, size: int
) -> Measured:
    config.log(f"crossover: {size:,} vectors")
    conn, name = connections.scanning, f"crossover_{size}"
    conn.execute(f"DROP TABLE IF EXISTS {name}")
    try:
        # Autovacuum must not interfere; the tables are short-lived.
        conn.execute(
            f"CREATE TABLE {name} WITH (autovacuum_enabled = false) AS"
            f" SELECT * FROM {source.table} ORDER BY doc_key LIMIT {size}"
        )
        build_s = _build(conn, name)
        exact, hnsw, recalled = _searches(connections, name, source.queries)
        planned = _planner_choice(conn, name, source.queries[0])
        insert_hnsw_ms = _insert(conn, name, source.inserts)
        conn.execute(f"DROP INDEX {name}_hnsw")
        insert_ms = _insert(conn, name, source.inserts)
    finally:
        conn.execute(f"DROP TABLE IF EXISTS {name}")
    return Measured(size, exact, hnsw, recalled, planned, build_s, insert_hnsw_ms, insert_ms)


def _build(conn: psycopg.Connection, name: str) -> float:
    started = time.perf_counter()
    conn.execute(
        f"CREATE INDEX {name}_hnsw ON {name} USING hnsw (embedding halfvec_cosine_ops)"
        f" WITH (m = {vectors.M}, ef_construction = {vectors.EF_CONSTRUCTION})"
    )
    seconds = time.perf_counter() - started
    conn.execute(f"ANALYZE {name}")
    return seconds


def _searches(
    connections: Connections, name: str, queries: Sequence[HalfVector]
) -> tuple[list[float], list[float], float]:
    """Milliseconds of exact scans, milliseconds of HNSW searches, and the recall of the latter."""
    exact, hnsw = _statement(name, exact=True), _statement(name)
    for query in queries[:WARM_QUERIES]:
        _search(connections.scanning, exact, query)
        _search(connections.by_index, hnsw, query)
    scans, searches = [], []
    for start in range(0, len(queries), TURN):
        batch = queries[start : start + TURN]
        scans += [_search(connections.scanning, exact, query) for query in batch]
        searches += [_search(connections.by_index, hnsw, query) for query in batch]
    measured_recall = recall([near for _, near in scans], [near for _, near in searches])
    return [ms for ms, _ in scans], [ms for ms, _ in searches], measured_recall


def _statement(name: str, *, exact: bool = False) -> str:
    # As in the service: an expression can't use the index.
    distance = "(embedding <=> %s) + 0" if exact else "embedding <=> %s"
    return f"SELECT doc_key, {distance} AS distance FROM {name} ORDER BY distance LIMIT {K}"


def _search(
    conn: psycopg.Connection, statement: str, query: HalfVector
) -> tuple[float, list[float]]:
    """Milliseconds, and the distances of the rows found."""
    cursor = conn.cursor(binary=True)
    started = time.perf_counter()
    rows = cursor.execute(statement, (query,)).fetchall()
    return 1e3 * (time.perf_counter() - started), [distance for _, distance in rows]


def _planner_choice(conn: psycopg.Connection, name: str, query: HalfVector) -> str:
    """What the planner chooses when it may use the index, and how many workers a scan gets."""
    by_itself = _explain(conn, _statement(name), query)
    scan = _explain(conn, _statement(name, exact=True), query)
    choice = "the index" if f"{name}_hnsw" in by_itself else "a scan"
    workers = [line.split()[-1] for line in scan.splitlines() if "Workers Planned" in line]
    parallel = f"; scans use {workers[0]} more workers" if workers else ""
    return f"left alone, the planner chooses {choice}{parallel}"


def _explain(conn: psycopg.Connection, statement: str, query: HalfVector) -> str:
    return "\n".join(row[0] for row in conn.execute(f"EXPLAIN {statement}", (query,)))


def _insert(conn: psycopg.Connection, name: str, rows: Sequence[tuple[object, ...]]) -> float:
    """Milliseconds per row, one statement each, in a transaction that is rolled back."""
    values = ", ".join(["%s"] * len(rows[0]))
    cursor = conn.cursor()
    with conn.transaction(force_rollback=True):
        started = time.perf_counter()
        for row in rows:
            cursor.execute(f"INSERT INTO {name} VALUES ({values})", row)
        return 1e3 * (time.perf_counter() - started) / len(rows)


def _table_rows(measured: Sequence[Measured]) -> list[table.Row]:
    """Rows grouped by measure, so that the sizes stand next to each other."""
    by_size = [_rows(size) for size in measured]
    return [row for of_all_sizes in zip(*by_size, strict=True) for row in of_all_sizes]


def _rows(measured: Measured) -> list[table.Row]:
    row = functools.partial(table.Row, PART)
    by_hnsw = f"HNSW, ef_search {EF_SEARCH}"
    searches = f"{len(measured.exact)} searches each, in SQL; {measured.planned}"
    recalled = f"{len(measured.hnsw)} searches at ef_search {EF_SEARCH} against exact scans"
    built = f"m {vectors.M}, ef_construction {vectors.EF_CONSTRUCTION}"
    inserted = f"mean of {INSERTS} statements in one transaction, commit not included"
    return [
        table.medians(
            PART,
            f"exact scan of {measured.rows:,}",
            measured.exact,
            beside=by_hnsw,
            other_values=measured.hnsw,
            note=searches,
        ),
        row(f"recall@{K}, HNSW of {measured.rows:,}", measured.recall, note=recalled),
        row(f"HNSW build of {measured.rows:,}", measured.build_s, unit="s", note=built),
        row(
            f"insert of a row into {measured.rows:,}, HNSW",
            measured.insert_hnsw_ms,
            unit="ms",
            beside="without an index",
            other=measured.insert_ms,
            note=inserted,
        ),
    ]
