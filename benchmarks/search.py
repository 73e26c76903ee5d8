"""Searches for texts in WordNet: their recall, and their time beside what they are made of.

The parts: the nearest rows by SQL at the same ef_search, and the encoding of one query, each alone.
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

from benchmarks import bare, client, corpora, memory, metrics, plan, service, table
from indexing.hnsw.recall import recall

COLLECTION = memory.COLLECTION
K = 10
WARM_QUERIES = 20
# Taken in turns of so many queries: the threads of two encoders would meet if each query changed.
TURN = 20
RECALL = table.Target("figure", ">=", 0.98)
LATENCY = table.Target("ratio", "<=", 1.6)
# The least that the service asks for: 10 rows and 10 more for those that may not count.
LEAST_ROWS = 2 * K


@dataclasses.dataclass
class Times:
    """Milliseconds of each query."""

    search: list[float] = dataclasses.field(default_factory=list)
    sql: list[float] = dataclasses.field(default_factory=list)
    encoding: list[float] = dataclasses.field(default_factory=list)
    empty: list[float] = dataclasses.field(default_factory=list)

    @property
    def parts(self) -> list[float]:
        return [sql + encoding for sql, encoding in zip(self.sql, self.encoding, strict=True)]


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a search is made of, each in this process, without HTTP."""

    encode: Callable[[str], HalfVector]
    nearest: Callable[[HalfVector], object]


def run(what: plan.Plan) -> list[table.Row]:
    with what.serving() as running:
        _ensure_loaded(what, running)
        collection = running.client.get(f"/v1/collections/{COLLECTION}")
        rows = [_recall(running, name, texts) for name, texts in _queries(what).items()]
        for name, texts in _queries(what).items():
            what.say(f"search: the time of {len(texts)} {name}")
            with _parts(what, running, collection) as parts:
                rows += _times_shown(name, _measure(running, texts, parts), collection)
    return rows


def _ensure_loaded(what: plan.Plan, running: service.Running) -> None:
    """The collection that the part `memory` left, or a new one."""
    items = {one["name"]: one for one in running.client.get("/v1/collections")["items"]}
    found = items.get(COLLECTION)
    if found is None or found["documents"] != len(what.wordnet):
        plan.drop(running, COLLECTION)
        memory.load(what, running)


def _queries(what: plan.Plan) -> dict[str, list[str]]:
    """Texts that are no documents: another corpus's questions, and titles without their text."""
    few = corpora.sample(what.wordnet, what.sizes.queries, seed=3)
    titles = [one.title for one in few]
    if what.scifact_folder is None:
        return {"titles of synsets": titles}
    return {"claims of SciFact": what.claims, "titles of synsets": titles}


def _recall(running: service.Running, name: str, texts: Sequence[str]) -> table.Row:
    truth, found, paths = [], [], set()
    for text in texts:
        exact = running.client.search(COLLECTION, text, exact=True, limit=K)
        usual = running.client.search(COLLECTION, text, limit=K)
        truth.append(_distances(exact))
        found.append(_distances(usual))
        paths.add(usual["path"])
    return table.Row(
        "search",
        f"recall@{K}, {name}",
        recall(truth, found),
        target=RECALL,
        note=f"{len(texts)} queries by {' and '.join(sorted(paths))} against exact=true",
    )


def _distances(answer: dict[str, Any]) -> list[float]:
    if not answer["results"]:
        raise client.Refused("a search in WordNet found nothing")
    return [1 - one["score"] for one in answer["results"]]


@contextmanager
def _parts(
    what: plan.Plan, running: service.Running, collection: dict[str, object]
) -> Iterator[Parts]:
    loaded = bare.load(what.data_dir)
    try:
        with (
            service.database_url(running.data_dir) as url,
            psycopg.connect(url, autocommit=True, prepare_threshold=1) as conn,
            asyncio.Runner() as runner,
        ):
            register_vector(conn)
            encode = bare.query_encoder(loaded, runner)
            yield Parts(lambda text: HalfVector(encode(text)), _nearest(conn, collection))
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
    """As the service sets it; None where it scans."""
    search = collection["search"]
    assert isinstance(search, dict)
    return None if search["path"] == "exact" else max(search["ef_search"], LEAST_ROWS)


def _measure(running: service.Running, texts: Sequence[str], parts: Parts) -> Times:
    found = Times()
    path = f"/v1/collections/{COLLECTION}/search"
    targets = [client.address(path, q=text, limit=K) for text in texts]
    _turn(running, list(zip(texts, targets, strict=True))[:WARM_QUERIES], parts, Times())
    for start in range(0, len(texts), TURN):
        some = list(zip(texts, targets, strict=True))[start : start + TURN]
        _turn(running, some, parts, found)
    return found


def _turn(
    running: service.Running, some: Sequence[tuple[str, str]], parts: Parts, found: Times
) -> None:
    """The same queries by the service, then by the parts; one connection, one after the other."""
    for _, target in some:
        found.search.append(metrics.milliseconds(running.client.fetch, target))
    for _ in some:
        found.empty.append(metrics.milliseconds(running.client.fetch, "/healthz"))
    for text, _ in some:
        started = time.perf_counter()
        vector = parts.encode(text)
        found.encoding.append(1e3 * (time.perf_counter() - started))
        found.sql.append(metrics.milliseconds(parts.nearest, vector))


def _times_shown(name: str, found: Times, collection: dict[str, object]) -> list[table.Row]:
    ef_search = _ef_search(collection)
    knn = "exact scan" if ef_search is None else f"ef_search {ef_search}"
    made_of = (
        f"SQL {metrics.figure(metrics.median(found.sql))} + "
        f"encoding {metrics.figure(metrics.median(found.encoding))}; "
        f"an empty request {metrics.figure(metrics.median(found.empty))}"
    )
    return [
        table.medians(
            "search",
            name,
            found.search,
            beside=f"SQL, {knn}, + encoding",
            others=found.parts,
            target=LATENCY,
            note=f"{len(found.search)} GET requests; {made_of}",
        ),
        table.Row(
            "search",
            f"p95, {name}",
            metrics.percentile(found.search, 95),
            unit="ms",
            beside="the same",
            other=metrics.percentile(found.parts, 95),
        ),
    ]
