"""The memory of a service while it takes in WordNet as one stream, and how fast that goes."""

import time
from dataclasses import dataclass

from benchmarks import bare, client, corpora, plan, processes, service, table

COLLECTION = "bench-wordnet"
LIMIT_MB = 1200.0
# How often to look whether the HNSW index is there; each look counts the documents.
POLL_S = 1.0
BUILD_S = 1800


@dataclass(frozen=True)
class Loaded:
    """WordNet in a service: the stream itself, and until a search took the HNSW index."""

    stream: client.Ingested
    searchable_s: float
    path: str


def run(what: plan.Plan) -> list[table.Row]:
    documents = what.wordnet
    with what.serving() as running:
        plan.drop(running, COLLECTION)
        with processes.Watch(running.pid) as watch:
            idle_mb = watch.now_mb()
            loaded = load(what, running)
        peak_mb = watch.peak_mb
    few = corpora.sample(documents, what.sizes.bare_wordnet)
    what.say(f"memory: {len(few):,} documents by the bare encoder")
    alone = bare.rates(
        bare.Job([one.whole for one in few], str(what.data_dir), "sentence", (16, 32, 64))
    )
    size = f"{len(documents):,} documents as one stream"
    beside = f"bare encoder, best of {', '.join(alone.by_rows)} a batch"
    rates = {
        "WordNet, acknowledged": loaded.stream.rate,
        f"WordNet, searchable by {loaded.path}": len(documents) / loaded.searchable_s,
    }
    build_s = loaded.searchable_s - loaded.stream.seconds
    return [
        table.Row(
            "memory",
            "peak RSS without PostgreSQL",
            peak_mb,
            unit="MB",
            target=table.Target("figure", "<=", LIMIT_MB),
            note=f"WordNet, {size}; {idle_mb:.0f} MB before",
        ),
        *(
            table.Row(
                "memory",
                measured,
                rate,
                unit="docs/s",
                beside=beside,
                other=alone.best,
                note=f"{size} beside {len(few):,}; {build_s:.0f} s from the last to the index",
            )
            for measured, rate in rates.items()
        ),
    ]


def load(what: plan.Plan, running: service.Running) -> Loaded:
    """Send them as one stream; wait until the index is built, where they are enough for one."""
    what.say(f"WordNet: {len(what.wordnet):,} documents as one stream")
    lines = corpora.ndjson(what.wordnet)
    running.client.create(COLLECTION)
    started = time.perf_counter()
    stream = running.client.ingest(COLLECTION, lines)
    what.say(f"WordNet: acknowledged after {stream.seconds:.0f} s; waiting for the HNSW index")
    path = _await_index(running, what.hnsw_min_rows)
    return Loaded(stream, time.perf_counter() - started, path)


def _await_index(running: service.Running, min_rows: int) -> str:
    """The path that a search takes in the end: `exact` where the documents are too few."""
    deadline = time.monotonic() + BUILD_S
    while time.monotonic() < deadline:
        collection = running.client.get(f"/v1/collections/{COLLECTION}")
        path: str = collection["search"]["path"]
        if path == "hnsw" or collection["chunks"] < min_rows:
            return path
        time.sleep(POLL_S)
    raise service.NotRunning(f"no HNSW index after {BUILD_S} s: {collection['search']}")
