"""From how many vectors an HNSW index pays: scans beside searches, builds, inserts, at some sizes.

By SQL over vectors that the service made: it has no index of its own here.
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

from benchmarks import corpora, plan, service, table
from indexing.hnsw.recall import recall
from storage import search, vectors

PART = "crossover"
COLLECTION = "bench-crossover"
SIZES = (1000, 2000, 5000, 10_000, 20_000)
K = 10
QUERIES = plan.CROSSOVER_QUERIES
INSERTS = plan.CROSSOVER_INSERTS
EF_SEARCH = search.MIN_EF_SEARCH
WARM_QUERIES = 10
# Exact scans and HNSW searches take turns of so many queries.
TURN = 20
# More vectors than any collection has: the service builds no index meanwhile.
NO_INDEX = {"HNSW_MIN_ROWS": "1000000000"}


class TooFew(plan.DataMissing):
    """There are fewer documents than the smallest table and the vectors beside it need."""


@dataclass(frozen=True)
class Connections:
    """`scanning` has the service's settings; `by_index` lets the planner take no scan."""

    scanning: psycopg.Connection
    by_index: psycopg.Connection


@dataclass(frozen=True)
class Source:
    """The table of vectors; `queries` and `inserts` (of whole rows) are not among its first."""

    table: str
    rows: int
    queries: Sequence[HalfVector]
    inserts: Sequence[tuple[object, ...]]


@dataclass(frozen=True)
class Measured:
    """At `rows` vectors: milliseconds of each search, seconds of the build, ms a row inserted."""

    rows: int
    exact: list[float]
    hnsw: list[float]
    recall: float
    planned: str
    build_s: float
    insert_hnsw_ms: float
    insert_ms: float


def run(what: plan.Plan) -> list[table.Row]:
    documents = what.crossover
    if len(documents) < SIZES[0] + QUERIES + INSERTS:
        raise TooFew(f"the part crossover needs {SIZES[0]:,} documents or more for its tables")
    without_index = dataclasses.replace(what, settings={**what.settings, **NO_INDEX})
    with without_index.emptied(COLLECTION) as running:
        what.say(f"crossover: {len(documents):,} documents as one stream")
        running.client.create(COLLECTION, strategy="none")
        running.client.ingest(COLLECTION, corpora.ndjson(documents))
        index = running.client.get(f"/v1/collections/{COLLECTION}")["index"]
        # The service would close it in the meantime; the next request opens it again.
        running.client.close()
        with _connections(running) as connections:
            source = _source(connections.scanning, f"vectors_{index}")
            sizes = [size for size in SIZES if size <= source.rows]
            return _shown([_measure(what, connections, source, size) for size in sizes])


@contextmanager
def _connections(running: service.Running) -> Iterator[Connections]:
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
    """The last vectors are kept apart: neither queries nor inserted rows are in a table."""
    apart = QUERIES + INSERTS
    rows = conn.execute(f"SELECT * FROM {name} ORDER BY doc_key DESC LIMIT {apart}").fetchall()
    found = conn.execute(f"SELECT count(*) FROM {name}").fetchone()
    assert found is not None
    # The embedding is the last column.
    return Source(name, found[0] - apart, [row[-1] for row in rows[:QUERIES]], rows[QUERIES:])


def _measure(what: plan.Plan, connections: Connections, source: Source, size: int) -> Measured:
    what.say(f"crossover: {size:,} vectors")
    conn, name = connections.scanning, f"crossover_{size}"
    conn.execute(f"DROP TABLE IF EXISTS {name}")
    try:
        # No vacuum comes between: the tables are short-lived.
        conn.execute(
            f"CREATE TABLE {name} WITH (autovacuum_enabled = false) AS"
            f" SELECT * FROM {source.table} ORDER BY doc_key LIMIT {size}"
        )
        build_s = _build(conn, name)
        exact, hnsw, recalled = _searches(connections, name, source.queries)
        planned = _planned(conn, name, source.queries[0])
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
    """Milliseconds of exact scans and of HNSW searches, and the recall of these."""
    exact, hnsw = _statement(name, exact=True), _statement(name)
    for query in queries[:WARM_QUERIES]:
        _search(connections.scanning, exact, query)
        _search(connections.by_index, hnsw, query)
    scans, searches = [], []
    for start in range(0, len(queries), TURN):
        some = queries[start : start + TURN]
        scans += [_search(connections.scanning, exact, query) for query in some]
        searches += [_search(connections.by_index, hnsw, query) for query in some]
    found = recall([near for _, near in scans], [near for _, near in searches])
    return [ms for ms, _ in scans], [ms for ms, _ in searches], found


def _statement(name: str, *, exact: bool = False) -> str:
    # As in the service: an expression cannot use the index.
    distance = "(embedding <=> %s) + 0" if exact else "embedding <=> %s"
    return f"SELECT doc_key, {distance} AS distance FROM {name} ORDER BY distance LIMIT {K}"


def _search(
    conn: psycopg.Connection, statement: str, query: HalfVector
) -> tuple[float, list[float]]:
    """Milliseconds, and the distances of what was found."""
    cursor = conn.cursor(binary=True)
    started = time.perf_counter()
    found = cursor.execute(statement, (query,)).fetchall()
    return 1e3 * (time.perf_counter() - started), [distance for _, distance in found]


def _planned(conn: psycopg.Connection, name: str, query: HalfVector) -> str:
    """What the planner takes by itself where it may use the index, and the workers of a scan."""
    by_itself = _explained(conn, _statement(name), query)
    scan = _explained(conn, _statement(name, exact=True), query)
    choice = "the index" if f"{name}_hnsw" in by_itself else "a scan"
    workers = [line.split()[-1] for line in scan.splitlines() if "Workers Planned" in line]
    parallel = f"; scans by {workers[0]} more workers" if workers else ""
    return f"the planner by itself takes {choice}{parallel}"


def _explained(conn: psycopg.Connection, statement: str, query: HalfVector) -> str:
    return "\n".join(row[0] for row in conn.execute(f"EXPLAIN {statement}", (query,)))


def _insert(conn: psycopg.Connection, name: str, rows: Sequence[tuple[object, ...]]) -> float:
    """Milliseconds a row, one statement each; the transaction is undone, its commit not timed."""
    values = ", ".join(["%s"] * len(rows[0]))
    cursor = conn.cursor()
    with conn.transaction(force_rollback=True):
        started = time.perf_counter()
        for row in rows:
            cursor.execute(f"INSERT INTO {name} VALUES ({values})", row)
        return 1e3 * (time.perf_counter() - started) / len(rows)


def _shown(found: Sequence[Measured]) -> list[table.Row]:
    """Each measure at all sizes, so that the sizes can be compared."""
    by_size = [_rows(one) for one in found]
    return [row for of_all_sizes in zip(*by_size, strict=True) for row in of_all_sizes]


def _rows(one: Measured) -> list[table.Row]:
    row = functools.partial(table.Row, PART)
    by_hnsw = f"HNSW, ef_search {EF_SEARCH}"
    searches = f"{len(one.exact)} searches each by SQL; {one.planned}"
    recalled = f"{len(one.hnsw)} searches at ef_search {EF_SEARCH} against exact scans"
    built = f"m {vectors.M}, ef_construction {vectors.EF_CONSTRUCTION}"
    inserted = f"mean of {INSERTS} statements in one transaction, without its commit"
    return [
        table.medians(
            PART,
            f"exact scan of {one.rows:,}",
            one.exact,
            beside=by_hnsw,
            others=one.hnsw,
            note=searches,
        ),
        row(f"recall@{K}, HNSW of {one.rows:,}", one.recall, note=recalled),
        row(f"HNSW build of {one.rows:,}", one.build_s, unit="s", note=built),
        row(
            f"a row inserted beside {one.rows:,}, HNSW",
            one.insert_hnsw_ms,
            unit="ms",
            beside="without an index",
            other=one.insert_ms,
            note=inserted,
        ),
    ]
