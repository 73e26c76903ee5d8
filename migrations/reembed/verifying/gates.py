"""Whether a target may answer searches: what was found out, held against what was demanded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from migrations.reembed.migration import Options
from migrations.reembed.verifying.report import Coverage, Gate, Ndcg, Overlap, Recall, Verdict

_OVERRULE = "leave this gate out, or force the cut-over with a reason"


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the gates look at; `unavailable` says why something could not be found out."""

    coverage: Coverage
    recall: Recall
    ndcg: Ndcg | None
    overlap: Overlap | None
    unavailable: Mapping[str, str]

    def reason_for(self, *names: str) -> str:
        return next((self.unavailable[name] for name in names if name in self.unavailable), "")


def judge(found: Findings, options: Options) -> Verdict:
    """Coverage and recall always, the others where they were asked for."""
    gates = list(_gates(found, options))
    return Verdict(passed=all(gate.passed for gate in gates), gates=gates)


def _gates(found: Findings, options: Options) -> Iterator[Gate]:
    yield _coverage(found.coverage)
    yield _recall(found, options.gates.recall)
    if options.gates.ndcg_drop is not None:
        yield _ndcg_drop(found, options.gates.ndcg_drop)
    if options.gates.overlap is not None:
        yield _overlap(found, options.gates.overlap)


def _coverage(covered: Coverage) -> Gate:
    lacking = covered.missing - covered.waived - covered.waiting
    share = 1 - lacking / covered.documents if covered.documents else 1.0
    if lacking:
        detail = (
            f"{lacking:,} of {covered.documents:,} documents have no vectors of their present text:"
            " resume to have them embedded; a text that can't be embedded is listed under `failed`:"
            " change it, delete it, or waive it with waive_failed"
        )
    elif covered.missing > covered.waiting:
        detail = (
            f"all documents have vectors but {covered.waived:,} that can't have any, which is"
            " waived: searches won't find them"
        )
    else:
        detail = f"{_all(covered.documents)} vectors of their present text"
    return Gate(name="coverage", limit=1.0, value=share, passed=lacking <= 0, detail=detail)


def _all(count: int) -> str:
    return f"all {count:,} documents have" if count else "there is no document that lacks"


def _recall(found: Findings, limit: float) -> Gate:
    recall = found.recall
    value: float | None = recall.value
    if recall.path == "exact":
        detail = "searches are exact: nothing is missed"
    elif recall.queries == 0:
        value = None if found.coverage.documents else 1.0
        detail = "there is no query to measure recall by: search the collection, then verify again"
    else:
        detail = (
            f"HNSW at ef_search {recall.ef_search} finds {recall.value:.1%} of what an exact search"
            f" finds, over {recall.queries:,} queries"
        )
        if recall.value < limit:
            detail += "; build the index again, or demand less recall"
    passed = value is not None and value >= limit
    return Gate(name="recall", limit=limit, value=value, passed=passed, detail=detail)


def _ndcg_drop(found: Findings, limit: float) -> Gate:
    drop = None if found.ndcg is None else found.ndcg.drop
    if found.ndcg is None or drop is None:
        why = found.reason_for("ndcg", "ndcg.old") or "not available"
        detail = f"the drop of nDCG@10 could not be measured ({why}); mend that, or {_OVERRULE}"
        return Gate(name="ndcg_drop", limit=limit, value=None, passed=False, detail=detail)
    change = "falls" if drop > 0 else "does not fall"
    detail = (
        f"nDCG@10 {change}: {found.ndcg.old:.4f} in the old space, {found.ndcg.new:.4f} in the new,"
        f" over {found.ndcg.queries:,} golden queries"
    )
    if drop > limit:
        detail += "; look at the queries that changed most, and take another model or limit"
    return Gate(name="ndcg_drop", limit=limit, value=drop, passed=drop <= limit, detail=detail)


def _overlap(found: Findings, limit: float) -> Gate:
    if found.overlap is None:
        why = found.reason_for("overlap") or "not available"
        detail = f"the overlap could not be measured ({why}); mend that, or {_OVERRULE}"
        return Gate(name="overlap", limit=limit, value=None, passed=False, detail=detail)
    mean = found.overlap.mean
    detail = f"{mean:.1%} of the {found.overlap.at} nearest documents are the same in both spaces"
    if mean < limit:
        detail += "; look at the queries that changed most: if they are better now, lower the limit"
    return Gate(name="overlap", limit=limit, value=mean, passed=mean >= limit, detail=detail)
