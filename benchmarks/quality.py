"""Part `quality`: retrieval quality on SciFact, everything over HTTP."""

from benchmarks import configuration, corpora, metrics, service, table

COLLECTION = "bench-quality"
# The published figure of all-MiniLM-L6-v2: the whole corpus, documents cut at 256 tokens.
EXPECTED = table.Target("figure", "+-", 0.645, 0.005)
K = 10


def run(config: configuration.Config) -> list[table.Row]:
    queries, judgments = config.scifact_queries
    documents = corpora.with_relevant(config.scifact, judgments, config.sizes.scifact)
    is_whole = len(documents) == len(config.scifact)
    cut = _by_path(config, "none", documents)
    chunked = _by_path(config, "sentence", documents)
    title, size = f"SciFact nDCG@{K}", f"{len(documents):,} documents, {len(queries)} queries"
    rows = [
        table.Row(
            "quality",
            f"{title}, cut, {path}",
            value,
            target=EXPECTED if is_whole else None,
            note=size,
        )
        for path, value in cut.items()
    ]
    not_lower = table.Target("ratio", ">=", 1.0)
    rows += [
        table.Row(
            "quality",
            f"{title}, chunked, {path}",
            value,
            beside="cut, exact=true",
            other=cut["exact=true"],
            target=not_lower,
            note=size,
        )
        for path, value in chunked.items()
    ]
    return rows


def _by_path(
    config: configuration.Config, strategy: str, documents: list[corpora.Document]
) -> dict[str, float]:
    """nDCG with `exact=true` and by the default path, which the key names."""
    queries, judgments = config.scifact_queries
    config.log(f"quality: {len(documents):,} documents with chunking {strategy}")
    with config.emptied(COLLECTION) as running:
        running.client.create(COLLECTION, strategy=strategy)
        running.client.ingest(COLLECTION, corpora.ndjson(documents))
        path = running.client.get(f"/v1/collections/{COLLECTION}")["search"]["path"]
        return {
            "exact=true": _ndcg(running, queries, judgments, exact=True),
            f"default path ({path})": _ndcg(running, queries, judgments, exact=False),
        }


def _ndcg(
    running: service.RunningService,
    queries: list[corpora.Query],
    judgments: corpora.Judgments,
    *,
    exact: bool,
) -> float:
    scores = []
    for query in queries:
        response = running.client.search(COLLECTION, query.text, exact=exact, limit=K)
        ranked = [hit["id"] for hit in response["results"]]
        scores.append(metrics.ndcg(ranked, judgments[query.id], K))
    return sum(scores) / len(scores)
