"""Retrieval quality on SciFact, over HTTP from the first line to the last result."""

from benchmarks import corpora, metrics, plan, service, table

COLLECTION = "bench-quality"
# all-MiniLM-L6-v2 on the whole corpus, documents cut at 256 tokens.
EXPECTED = table.Target("figure", "+-", 0.645, 0.005)
K = 10


def run(what: plan.Plan) -> list[table.Row]:
    queries, judgments = what.scifact_queries
    chosen = corpora.with_relevant(what.scifact, judgments, what.sizes.scifact)
    is_whole = len(chosen) == len(what.scifact)
    cut = _by_path(what, "none", chosen)
    chunked = _by_path(what, "sentence", chosen)
    title, size = f"SciFact nDCG@{K}", f"{len(chosen):,} documents, {len(queries)} queries"
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


def _by_path(what: plan.Plan, strategy: str, chosen: list[corpora.Document]) -> dict[str, float]:
    """nDCG with `exact=true` and by the default path, named as the service names it."""
    queries, judgments = what.scifact_queries
    what.say(f"quality: {len(chosen):,} documents with chunking {strategy}")
    with what.emptied(COLLECTION) as running:
        running.client.create(COLLECTION, strategy=strategy)
        running.client.ingest(COLLECTION, corpora.ndjson(chosen))
        path = running.client.get(f"/v1/collections/{COLLECTION}")["search"]["path"]
        return {
            "exact=true": _ndcg(running, queries, judgments, exact=True),
            f"default path ({path})": _ndcg(running, queries, judgments, exact=False),
        }


def _ndcg(
    running: service.Running,
    queries: list[corpora.Query],
    judgments: corpora.Judgments,
    *,
    exact: bool,
) -> float:
    scores = []
    for query in queries:
        found = running.client.search(COLLECTION, query.text, exact=exact, limit=K)
        ranked = [one["id"] for one in found["results"]]
        scores.append(metrics.ndcg(ranked, judgments[query.id], K))
    return sum(scores) / len(scores)
