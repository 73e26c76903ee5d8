"""Which targets pass the gates, and what a failed gate says."""

import dataclasses
from typing import Any

import pytest

from migrations.reembed.migration import Gates, Options
from migrations.reembed.verifying import gates, report

WHY = "not available: the model of the old space is not on this machine"
GOOD = gates.Findings(
    coverage=report.Coverage(documents=100, missing=0, waived=0),
    recall=report.Recall(value=0.99, path="hnsw", queries=200, ef_search=80),
    ndcg=report.Ndcg(old=0.60, new=0.62, drop=-0.02, queries=50),
    overlap=report.Overlap(mean=0.7, at=10, rank_shift=1.5),
    unavailable={},
)
ALL = Options(gates=Gates(recall=0.98, ndcg_drop=0.01, overlap=0.5))


def judged(options: Options = ALL, **changed) -> dict[str, report.Gate]:
    verdict = gates.judge(dataclasses.replace(GOOD, **changed), options)
    assert verdict.passed == all(gate.passed for gate in verdict.gates)
    return {gate.name: gate for gate in verdict.gates}


def covered(documents: int, missing: int, waived: int = 0) -> report.Gate:
    coverage = report.Coverage(documents=documents, missing=missing, waived=waived)
    return judged(coverage=coverage)["coverage"]


def recalled(value: float, **changed: Any) -> report.Gate:
    fields: dict[str, Any] = {"path": "hnsw", "queries": 200, "ef_search": 80} | changed
    return judged(recall=report.Recall(value=value, **fields))["recall"]


def test_a_good_target_passes_all_gates():
    results = judged()
    assert list(results) == ["coverage", "recall", "ndcg_drop", "overlap"]
    assert all(gate.passed and gate.detail for gate in results.values())
    assert gates.judge(GOOD, ALL).passed


def test_only_coverage_and_recall_are_judged_by_default():
    assert list(judged(Options())) == ["coverage", "recall"]


def test_coverage_is_of_all_documents():
    assert (covered(100, 1).value, covered(100, 1).passed) == (0.99, False)
    assert "resume" in covered(100, 1).detail
    assert covered(0, 0).passed
    assert covered(0, 0).value == 1.0


def test_one_of_a_billion_documents_is_not_covered():
    assert not covered(10**18, 1).passed


def test_waived_documents_count_as_covered():
    gate = covered(100, 3, waived=3)
    assert (gate.value, gate.passed) == (1.0, True)
    assert "3" in gate.detail
    assert not covered(100, 3, waived=2).passed


def test_recall_has_to_reach_its_limit():
    assert recalled(0.98).passed
    assert not recalled(0.9799).passed
    assert "build the index again" in recalled(0.9).detail


def test_exact_searches_miss_nothing():
    gate = recalled(1.0, path="exact", ef_search=None)
    assert gate.passed
    assert "exact" in gate.detail


def test_recall_that_no_query_measured_does_not_pass():
    gate = recalled(1.0, queries=0)
    assert (gate.value, gate.passed) == (None, False)
    assert "search the collection" in gate.detail


@pytest.mark.parametrize(("drop", "passed"), [(-0.3, True), (0.01, True), (0.0101, False)])
def test_ndcg_may_drop_by_the_limit(drop: float, passed: bool):
    ndcg = report.Ndcg(old=0.6, new=0.6 - drop, drop=drop, queries=50)
    gate = judged(ndcg=ndcg)["ndcg_drop"]
    assert (gate.value, gate.limit, gate.passed) == (drop, 0.01, passed)


@pytest.mark.parametrize(("mean", "passed"), [(0.5, True), (0.49, False)])
def test_overlap_has_to_reach_its_limit(mean: float, passed: bool):
    gate = judged(overlap=report.Overlap(mean=mean, at=10, rank_shift=0))["overlap"]
    assert (gate.value, gate.limit, gate.passed) == (mean, 0.5, passed)


def test_what_cannot_be_measured_does_not_pass_and_says_why():
    ndcg = report.Ndcg(old=None, new=0.9, drop=None, queries=50)
    results = judged(ndcg=ndcg, overlap=None, unavailable={"ndcg.old": WHY, "overlap": WHY})
    for name in ("ndcg_drop", "overlap"):
        assert (results[name].value, results[name].passed) == (None, False)
        assert WHY in results[name].detail
        assert "force" in results[name].detail
    missing = judged(ndcg=None, unavailable={"ndcg": "not available: none given"})["ndcg_drop"]
    assert (missing.value, missing.passed) == (None, False)
    assert "none given" in missing.detail
