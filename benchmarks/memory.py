"""Part `memory`: peak memory and throughput while WordNet is indexed as one stream."""

import time
from dataclasses import dataclass

from benchmarks import bare_encoder, client, configuration, corpora, processes, service, table

COLLECTION = "bench-wordnet"
LIMIT_MB = 1200.0
# How often to check for the HNSW index; each check makes the service count its documents.
POLL_S = 1.0
BUILD_S = 1800


@dataclass(frozen=True)
class Loaded:
    """WordNet in a service: the stream, and the seconds until searches used the HNSW index."""

    stream: client.Ingested
    searchable_s: float
    path: str


def run(config: configuration.Config) -> list[table.Row]:
    documents = config.wordnet
    with config.serving() as running:
        running.client.drop(COLLECTION)
        with processes.Watch(running.pid) as watch:
            idle_mb = watch.now_mb()
            loaded = load(config, running)
        peak_mb = watch.peak_mb
    documents_alone = corpora.sample(documents, config.sizes.bare_wordnet)
    config.log(f"memory: {len(documents_alone):,} documents with the bare encoder")
    alone = bare_encoder.rates(
        bare_encoder.Job(
            [document.whole for document in documents_alone],
            str(config.data_dir),
            "sentence",
            (16, 32, 64),
        )
    )
    size = f"{len(documents):,} documents as one stream"
    beside = f"bare encoder, best batch size of {', '.join(alone.by_rows)}"
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
                note=f"{size} vs {len(documents_alone):,}; "
                f"{build_s:.0f} s from the last document to the index",
            )
            for measured, rate in rates.items()
        ),
    ]


def load(config: configuration.Config, running: service.RunningService) -> Loaded:
    """Send WordNet as one stream and, if it is large enough for an HNSW index, wait for that."""
    config.log(f"WordNet: {len(config.wordnet):,} documents as one stream")
    lines = corpora.ndjson(config.wordnet)
    running.client.create(COLLECTION)
    started = time.perf_counter()
    stream = running.client.ingest(COLLECTION, lines)
    config.log(f"WordNet: acknowledged after {stream.seconds:.0f} s; waiting for the HNSW index")
    path = _await_index(running, config.hnsw_min_rows)
    return Loaded(stream, time.perf_counter() - started, path)


def _await_index(running: service.RunningService, min_rows: int) -> str:
    """The path that searches end up taking: `exact` if there are too few chunks for HNSW."""
    deadline = time.monotonic() + BUILD_S
    while time.monotonic() < deadline:
        collection = running.client.get(f"/v1/collections/{COLLECTION}")
        path: str = collection["search"]["path"]
        if path == "hnsw" or collection["chunks"] < min_rows:
            return path
        time.sleep(POLL_S)
    raise service.NotRunning(f"no HNSW index after {BUILD_S} s: {collection['search']}")
