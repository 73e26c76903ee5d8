"""Whether a worse model is kept out, and a better one let in, by judged queries."""

from typing import Any

from benchmarks import corpora, metrics, table
from benchmarks.fire.wish import BUNDLED, STATIC
from benchmarks.reembed.migrating import Migration
from benchmarks.reembed.stage import SENTENCE, Stage

PART = "reembed"
COLLECTION = "bench-reembed-gates"
GATES = {"ndcg_drop": 0.05}


def rows(stage: Stage) -> list[table.Row]:
    """First up, WordLlama to MiniLM; then down again, from what that left."""
    what = stage.what
    queries, judgments = what.scifact_queries
    chosen = corpora.with_relevant(what.scifact, judgments, what.sizes.scifact)
    golden = [{"q": query.text, "relevant": judgments[query.id]} for query in queries]
    size = f"{len(chosen):,} documents, {len(golden)} queries"
    what.say(f"{PART}: gates, {size}")
    with stage.filled(COLLECTION, chosen):
        up = _migrate(stage, BUNDLED, golden)
        up.until("soaking")
        report = up.report()
        up.act("retire")
        up.until("done")
        made = [_row("WordLlama to MiniLM", report, passes=True, size=size)]
        down = _migrate(stage, STATIC, golden)
        down.until("blocked")
        made.append(_row("MiniLM to WordLlama", down.report(), passes=False, size=size))
        down.act("cancel")
    return made


def _migrate(stage: Stage, model: str, golden: list[dict[str, Any]]) -> Migration:
    return Migration.begin(
        stage.running.port, COLLECTION, model, gates=GATES, golden=golden, chunking=SENTENCE
    )


def _row(way: str, report: dict[str, Any], *, passes: bool, size: str) -> table.Row:
    verdict, ndcg = report["verdict"], report["ndcg"]
    said = "; ".join(gate["detail"] for gate in verdict["gates"] if not gate["passed"])
    outcome = "passed" if verdict["passed"] else "blocked"
    return table.Row(
        PART,
        f"gate ndcg_drop 0.05, {way}: {'passes' if passes else 'is blocked'}",
        float(verdict["passed"] == passes),
        target=table.Target("figure", ">=", 1),
        note=f"{outcome}, nDCG@10 {metrics.figure(ndcg['old'])} to {metrics.figure(ndcg['new'])} "
        f"over {ndcg['queries']} queries, {size}{f': {said}' if said else ''}",
    )
