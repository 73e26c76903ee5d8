"""Checks that the quality gate lets a better model in and keeps a worse one out."""

from typing import Any

from benchmarks import corpora, metrics, table
from benchmarks.fire.options import BUNDLED, STATIC
from benchmarks.reembed.migration_client import MigrationClient
from benchmarks.reembed.prepared_service import SENTENCE, PreparedService

PART = "reembed"
COLLECTION = "bench-reembed-gates"
GATES = {"ndcg_drop": 0.05}


def rows(prepared: PreparedService) -> list[table.Row]:
    """First to the better model, WordLlama to MiniLM; then back from there."""
    config = prepared.config
    queries, judgments = config.scifact_queries
    documents = corpora.with_relevant(config.scifact, judgments, config.sizes.scifact)
    golden = [{"q": query.text, "relevant": judgments[query.id]} for query in queries]
    size = f"{len(documents):,} documents, {len(golden)} queries"
    config.log(f"{PART}: gates, {size}")
    with prepared.filled(COLLECTION, documents):
        up = _migrate(prepared, BUNDLED, golden)
        up.wait_for("soaking")
        report = up.report()
        up.perform("retire")
        up.wait_for("done")
        table_rows = [_row("WordLlama to MiniLM", report, passes=True, size=size)]
        down = _migrate(prepared, STATIC, golden)
        down.wait_for("blocked")
        table_rows.append(_row("MiniLM to WordLlama", down.report(), passes=False, size=size))
        down.perform("cancel")
    return table_rows


def _migrate(
    prepared: PreparedService, model: str, golden: list[dict[str, Any]]
) -> MigrationClient:
    return MigrationClient.start(
        prepared.running.port, COLLECTION, model, gates=GATES, golden=golden, chunking=SENTENCE
    )


def _row(direction: str, report: dict[str, Any], *, passes: bool, size: str) -> table.Row:
    verdict, ndcg = report["verdict"], report["ndcg"]
    failures = "; ".join(gate["detail"] for gate in verdict["gates"] if not gate["passed"])
    outcome = "passed" if verdict["passed"] else "blocked"
    return table.Row(
        PART,
        f"gate ndcg_drop 0.05, {direction}: {'passes' if passes else 'is blocked'}",
        float(verdict["passed"] == passes),
        target=table.Target("figure", ">=", 1),
        note=f"{outcome}, nDCG@10 {metrics.format_number(ndcg['old'])} to "
        f"{metrics.format_number(ndcg['new'])} over {ndcg['queries']} queries, {size}"
        f"{f': {failures}' if failures else ''}",
    )
