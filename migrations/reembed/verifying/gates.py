"""Decides whether a target may replace its source: measurements against the required limits."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from migrations.reembed.migration import Options
from migrations.reembed.verifying.report import Coverage, Gate, Ndcg, Overlap, Recall, Verdict

_OVERRULE = "leave out this gate, or force the cutover with a reason"


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the gates judge; `unavailable` says why something could not be measured."""

    coverage: Coverage
    recall: Recall
    ndcg: Ndcg | None
    overlap: Overlap | None
    unavailable: Mapping[str, str]

    def reason_for(self, *names: str) -> str:
        return next((self.unavailable[name] for name in names if name in self.unavailable), "")


def judge(findings: Findings, options: Options) -> Verdict:
    """Judge coverage and recall always, the other gates if they are set."""
    gates = list(_gates(findings, options))
    return Verdict(passed=all(gate.passed for gate in gates), gates=gates)


def _gates(findings: Findings, options: Options) -> Iterator[Gate]:
    yield _coverage(findings.coverage)
    yield _recall(findings, options.gates.recall)
    if options.gates.ndcg_drop is not None:
        yield _ndcg_drop(findings, options.gates.ndcg_drop)
    if options.gates.overlap is not None:
        yield _overlap(findings, options.gates.overlap)


def _coverage(coverage: Coverage) -> Gate:
    missing = coverage.missing - coverage.waived - coverage.waiting
    share = 1 - missing / coverage.documents if coverage.documents else 1.0
    if missing:
        detail = (
            f"{missing:,} of {coverage.documents:,} documents have no vectors of their current"
            " text: resume to embed them; texts that can't be embedded are listed under `failed`:"
            " change, delete, or waive them with waive_failed"
        )
    elif coverage.missing > coverage.waiting:
        detail = (
            f"all documents have vectors, except {coverage.waived:,} that can't be embedded and"
            " are waived: searches won't find them"
        )
    else:
        detail = (
            f"all {coverage.documents:,} documents have vectors of their current text"
            if coverage.documents
            else "there are no documents to embed"
        )
    return Gate(name="coverage", limit=1.0, value=share, passed=missing <= 0, detail=detail)


def _recall(findings: Findings, limit: float) -> Gate:
    recall = findings.recall
    value: float | None = recall.value
    if recall.path == "exact":
        detail = "searches are exact: they miss nothing"
    elif recall.queries == 0:
        value = None if findings.coverage.documents else 1.0
        detail = (
            "there are no queries to measure recall with: search the collection, then verify again"
        )
    else:
        detail = (
            f"HNSW at ef_search {recall.ef_search} finds {recall.value:.1%} of what an exact search"
            f" finds, over {recall.queries:,} queries"
        )
        if recall.value < limit:
            detail += "; build the index again, or lower the limit"
    passed = value is not None and value >= limit
    return Gate(name="recall", limit=limit, value=value, passed=passed, detail=detail)


def _ndcg_drop(findings: Findings, limit: float) -> Gate:
    ndcg = findings.ndcg
    drop = None if ndcg is None else ndcg.drop
    if ndcg is None or drop is None:
        why = findings.reason_for("ndcg", "ndcg.old") or "not available"
        detail = f"the drop of nDCG@10 could not be measured ({why}); fix that, or {_OVERRULE}"
        return Gate(name="ndcg_drop", limit=limit, value=None, passed=False, detail=detail)
    change = "falls" if drop > 0 else "does not fall"
    detail = (
        f"nDCG@10 {change}: {ndcg.old:.4f} in the old space, {ndcg.new:.4f} in the new one,"
        f" over {ndcg.queries:,} golden queries"
    )
    if drop > limit:
        detail += "; look at the queries that changed most, then choose another model or limit"
    return Gate(name="ndcg_drop", limit=limit, value=drop, passed=drop <= limit, detail=detail)


def _overlap(findings: Findings, limit: float) -> Gate:
    if findings.overlap is None:
        why = findings.reason_for("overlap") or "not available"
        detail = f"the overlap could not be measured ({why}); fix that, or {_OVERRULE}"
        return Gate(name="overlap", limit=limit, value=None, passed=False, detail=detail)
    mean = findings.overlap.mean
    detail = (
        f"{mean:.1%} of the {findings.overlap.at} nearest documents are the same in both spaces"
    )
    if mean < limit:
        detail += "; look at the queries that changed most: if they got better, lower the limit"
    return Gate(name="overlap", limit=limit, value=mean, passed=mean >= limit, detail=detail)
