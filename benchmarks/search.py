"""Part `search`: recall and latency of searches in WordNet.

The latency is compared with the sum of its components, each measured alone: the SQL query for the
nearest rows at the same ef_search, and encoding the query.
"""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from pgvector import HalfVector
from pgvector.psycopg import register_vector

from benchmarks import bare_encoder, client, configuration, corpora, memory, metrics, service, table
from indexing.hnsw.recall import recall

COLLECTION = memory.COLLECTION
K = 10
WARM_QUERIES = 20
# Queries per turn: if each query switched sides, the threads of the two encoders would compete.
TURN = 20
RECALL = table.Target("figure", ">=", 0.98)
LATENCY = table.Target("ratio", "<=", 1.6)
# What the service asks for at least: 10 rows, and 10 more in case some don't count.
MIN_ROWS = 2 * K


@dataclasses.dataclass
class Times:
    """Milliseconds per query."""

    search: list[float] = dataclasses.field(default_factory=list)
    sql: list[float] = dataclasses.field(default_factory=list)
    encoding: list[float] = dataclasses.field(default_factory=list)
    empty: list[float] = dataclasses.field(default_factory=list)

    @property
    def component_ms(self) -> list[float]:
        return [sql + encoding for sql, encoding in zip(self.sql, self.encoding, strict=True)]


@dataclasses.dataclass(frozen=True)
class Components:
    """The components of a search, run in this process without HTTP."""

    encode: Callable[[str], HalfVector]
    nearest: Callable[[HalfVector], object]


def run(config: configuration.Config) -> list[table.Row]:
    with config.serving() as running:
        _ensure_loaded(config, running)
        collection = running.client.get(f"/v1/collections/{COLLECTION}")
        rows = [_recall(running, name, texts) for name, texts in _queries(config).items()]
        for name, texts in _queries(config).items():
            config.log(f"search: timing {len(texts)} {name}")
            with _components(config, running, collection) as components:
                rows += _time_rows(name, _measure(running, texts, components), collection)
    return rows


def _ensure_loaded(config: configuration.Config, running: service.RunningService) -> None:
    """Use the collection that the part `memory` left behind, or load it."""
    collections = {item["name"]: item for item in running.client.get("/v1/collections")["items"]}
    collection = collections.get(COLLECTION)
    if collection is None or collection["documents"] != len(config.wordnet):
        running.client.drop(COLLECTION)
        memory.load(config, running)


def _queries(config: configuration.Config) -> dict[str, list[str]]:
    """Texts that aren't documents: another corpus's queries, and titles without their text."""
    documents = corpora.sample(config.wordnet, config.sizes.queries, seed=3)
    titles = [document.title for document in documents]
    if config.scifact_folder is None:
        return {"titles of synsets": titles}
    return {"claims of SciFact": config.claims, "titles of synsets": titles}


def _recall(running: service.RunningService, name: str, texts: Sequence[str]) -> table.Row:
    expected, returned, paths = [], [], set()
    for text in texts:
        exact = running.client.search(COLLECTION, text, exact=True, limit=K)
        default = running.client.search(COLLECTION, text, limit=K)
        expected.append(_distances(exact))
        returned.append(_distances(default))
        paths.add(default["path"])
    return table.Row(
        "search",
        f"recall@{K}, {name}",
        recall(expected, returned),
        target=RECALL,
        note=f"{len(texts)} queries by {' and '.join(sorted(paths))} against exact=true",
    )


def _distances(answer: dict[str, Any]) -> list[float]:
    if not answer["results"]:
        raise client.Refused("a search in WordNet found nothing")
    return [1 - hit["score"] for hit in answer["results"]]


@contextmanager
def _components(
    config: configuration.Config, running: service.RunningService, collection: dict[str, object]
) -> Iterator[Components]:
    loaded = bare_encoder.load(config.data_dir)
    try:
        with (
            service.database_url(running.data_dir) as url,
            psycopg.connect(url, autocommit=True, prepare_threshold=1) as conn,
            asyncio.Runner() as runner,
        ):
            register_vector(conn)
            encode = bare_encoder.query_encoder(loaded, runner)
            yield Components(lambda text: HalfVector(encode(text)), _nearest(conn, collection))
    finally:
        loaded.close()


def _nearest(
    conn: psycopg.Connection, collection: dict[str, object]
) -> Callable[[HalfVector], object]:
    ef_search = _ef_search(collection)
    conn.execute("SELECT set_config('hnsw.ef_search', %s, false)", (str(ef_search or 40),))
    cursor = conn.cursor(binary=True)
    statement = (
        f"SELECT doc_key, chunk_no, embedding <=> %(vector)s FROM vectors_{collection['index']}"
        f" ORDER BY embedding <=> %(vector)s LIMIT {K}"
    )

    def nearest(vector: HalfVector) -> object:
        return cursor.execute(statement, {"vector": vector}).fetchall()

    return nearest


def _ef_search(collection: dict[str, object]) -> int | None:
    """The value the service sets; None if it scans."""
    search = collection["search"]
    assert isinstance(search, dict)
    return None if search["path"] == "exact" else max(search["ef_search"], MIN_ROWS)


def _measure(
    running: service.RunningService, texts: Sequence[str], components: Components
) -> Times:
    times = Times()
    path = f"/v1/collections/{COLLECTION}/search"
    targets = [client.address(path, q=text, limit=K) for text in texts]
    _turn(running, list(zip(texts, targets, strict=True))[:WARM_QUERIES], components, Times())
    for start in range(0, len(texts), TURN):
        queries = list(zip(texts, targets, strict=True))[start : start + TURN]
        _turn(running, queries, components, times)
    return times


def _turn(
    running: service.RunningService,
    queries: Sequence[tuple[str, str]],
    components: Components,
    times: Times,
) -> None:
    """Run the same queries by the service, then by the components, one at a time."""
    for _, target in queries:
        times.search.append(metrics.milliseconds(running.client.fetch, target))
    for _ in queries:
        times.empty.append(metrics.milliseconds(running.client.fetch, "/healthz"))
    for text, _ in queries:
        started = time.perf_counter()
        vector = components.encode(text)
        times.encoding.append(1e3 * (time.perf_counter() - started))
        times.sql.append(metrics.milliseconds(components.nearest, vector))


def _time_rows(name: str, times: Times, collection: dict[str, object]) -> list[table.Row]:
    ef_search = _ef_search(collection)
    knn = "exact scan" if ef_search is None else f"ef_search {ef_search}"
    components = (
        f"SQL {metrics.format_number(metrics.median(times.sql))} + "
        f"encoding {metrics.format_number(metrics.median(times.encoding))}; "
        f"an empty request {metrics.format_number(metrics.median(times.empty))}"
    )
    return [
        table.medians(
            "search",
            name,
            times.search,
            beside=f"SQL, {knn}, + encoding",
            other_values=times.component_ms,
            target=LATENCY,
            note=f"{len(times.search)} GET requests; {components}",
        ),
        table.Row(
            "search",
            f"p95, {name}",
            metrics.percentile(times.search, 95),
            unit="ms",
            beside="the same",
            other=metrics.percentile(times.component_ms, 95),
        ),
    ]
