"""The page of a report, read as a person would."""

from datetime import UTC, datetime

import msgspec
import pytest

from api.schemas.reports import (
    ChangedQuery,
    Coverage,
    Gate,
    Latencies,
    Latency,
    Ndcg,
    Overlap,
    Point,
    Queries,
    Recall,
    Report,
    ShownResult,
    Translation,
    Verdict,
)
from api.services import report_page
from api.services.report_page import render

GONE = "not available: the model of the old space is not on this machine"
FULL = Report(
    created_at=datetime(2026, 11, 27, 8, 30, tzinfo=UTC),
    coverage=Coverage(documents=12000, missing=3, waived=3),
    recall=Recall(value=0.9865, path="hnsw", queries=200, ef_search=80),
    queries=Queries(count=200, source="searches"),
    overlap=Overlap(mean=0.612, at=10, rank_shift=1.44),
    most_changed=[
        ChangedQuery(
            q="a boat on the lake",
            overlap=0.2,
            old=[
                ShownResult(id="one", score=0.711, text="a rowing boat " * 14),
                ShownResult(id="two", score=0.702, text="a sail"),
            ],
            new=[ShownResult(id="three", score=0.654, text="a lake in the hills")],
        )
    ],
    ndcg=Ndcg(old=0.645, new=0.661, drop=-0.016, queries=50),
    latency=Latencies(old=Latency(p50_ms=4.12, p95_ms=7.3), new=Latency(p50_ms=5.0, p95_ms=8.14)),
    translation=Translation(
        pairs=15000, points=[Point(old=0.3, new=0.41, error=0.012)], disagreement=0.173
    ),
    unavailable={"queries": "2 of 202 queries have no vector in one of the spaces"},
    verdict=Verdict(
        passed=False,
        gates=[
            Gate(name="coverage", limit=1, value=1, passed=True, detail="all have vectors"),
            Gate(name="ndcg_drop", limit=0.01, value=0.05, passed=False, detail="look " * 30),
        ],
    ),
)
SOURCE_GONE = msgspec.structs.replace(
    FULL,
    overlap=None,
    most_changed=[],
    translation=None,
    ndcg=Ndcg(old=None, new=0.661, drop=None, queries=50),
    latency=Latencies(old=None, new=Latency(p50_ms=5.0, p95_ms=8.14)),
    unavailable=dict.fromkeys(["overlap", "translation", "latency.old", "ndcg.old"], GONE),
    verdict=Verdict(
        passed=False,
        gates=[Gate(name="overlap", limit=0.5, value=None, passed=False, detail=GONE)],
    ),
)
EMPTY = msgspec.structs.replace(
    FULL,
    coverage=Coverage(documents=0, missing=0, waived=0),
    recall=Recall(value=1, path="exact", queries=0, ef_search=None),
    queries=Queries(count=0, source="documents"),
    overlap=None,
    most_changed=[],
    ndcg=None,
    translation=None,
    unavailable={"overlap": "not available: no query found a document"},
    verdict=Verdict(passed=True, gates=[]),
)


@pytest.mark.parametrize("report", [FULL, SOURCE_GONE, EMPTY])
def test_it_fits_into_100_columns(report: Report):
    for line in render("texts: old to new", report).splitlines():
        assert report_page.width(line) <= 100
        assert line == line.rstrip()


def test_the_verdict_comes_first():
    lines = render("texts: old to new", FULL).splitlines()
    assert lines[0] == "texts: old to new"
    verdict = next(line for line in lines[1:] if line.strip("= "))
    assert verdict == "Verdict: NOT PASSED: ndcg_drop"


@pytest.mark.parametrize(
    ("gates", "ndcg", "verdict"),
    [
        (["coverage", "recall"], None, "complete; quality was not judged (no golden queries)"),
        (["coverage"], FULL.ndcg, "complete; quality was not judged (no gate was set for it)"),
        (["coverage", "overlap"], None, "PASSED"),
        (["coverage", "ndcg_drop"], FULL.ndcg, "PASSED"),
    ],
)
def test_it_passes_only_if_quality_was_judged(gates: list[str], ndcg: Ndcg | None, verdict: str):
    passed = [Gate(name=name, limit=1, value=1, passed=True, detail="enough") for name in gates]
    report = msgspec.structs.replace(FULL, ndcg=ndcg, verdict=Verdict(passed=True, gates=passed))
    assert f"Verdict: {verdict}" in render("texts", report).splitlines()


def test_every_part_is_shown():
    page = render("texts", FULL)
    for part in (
        "pass  coverage     1.0000  (at least 1)",
        "FAIL  ndcg_drop    0.0500  (at most 0.01)",
        "12,000 documents, 3 without vectors of their current text, 3 of them waived",
        "0.9865 by HNSW at ef_search 80, 200 queries",
        "0.6120; a document found by both moved by 1.4 places",
        "old 0.6450, new 0.6610: drop -0.0160 over 50 golden queries",
        "p50 4.1 ms, p95 7.3 ms",
        "p50 5.0 ms, p95 8.1 ms",
        "2 of 202 queries have no vector",
        "2026-11-27 08:30",
    ):
        assert part in page


def test_the_translation_is_a_table():
    page = render("texts", FULL)
    assert "0.3000          0.4100         0.0120" in page
    assert "Of 15,000 pairs" in page
    assert "17.3% pass only one" in page


def test_changed_queries_are_side_by_side():
    lines = render("texts", FULL).splitlines()
    at = next(no for no, line in enumerate(lines) if "a boat on the lake" in line)
    assert lines[at].endswith("overlap 0.20")
    old, new = zip(*(line.split(" | ") for line in lines[at + 2 : at + 4]), strict=True)
    assert old[0].rstrip() == "0.711 one"
    assert old[1].endswith("\u2026")
    assert new == ("0.654 three", "a lake in the hills")
    assert lines[at + 4].startswith("0.702 two")


def test_what_is_not_available_says_why():
    page = render("texts", SOURCE_GONE)
    lines = page.splitlines()
    for label in ("Overlap@10", "Latency, old"):
        assert f"{label:<14}{GONE}" in lines
    assert f"new 0.6610 over 50 golden queries; old {GONE}" in " ".join(page.split())
    for head in ("Translation of score thresholds", "Queries that changed most"):
        assert lines[lines.index(head) + 1] == f"  {GONE}"
    assert "unknown  (at least 0.5)" in page
    assert "Note" not in page


def test_texts_cannot_command_the_terminal():
    evil = ShownResult(id="\x1b[2Jid", score=0.5, text="a\nb\x1b]0;title\x07\u202ec")
    changed = msgspec.structs.replace(FULL.most_changed[0], old=[evil], q="\x1b[31mred\r\n")
    page = render("\x1b[31mtexts", msgspec.structs.replace(FULL, most_changed=[changed]))
    assert all(character.isprintable() or character == "\n" for character in page)


@pytest.mark.parametrize("text", ["wide \u6f22\u5b57 letters", "e\u0301a", "short", "x" * 50])
def test_a_cell_takes_exactly_its_width(text: str):
    for cells in (5, 9, 20):
        assert report_page.width(report_page.fitted(text, cells)) == cells


def test_wide_characters_take_two_cells_and_marks_none():
    assert report_page.width("\u6f22\u5b57") == 4
    assert report_page.width("e\u0301") == 1
    assert report_page.fitted("\u6f22\u5b57\u6f22", 5) == "\u6f22\u5b57\u2026"
    assert report_page.fitted("\u6f22\u5b57\u6f22", 4) == "\u6f22\u2026 "
