"""What changed between the results of two spaces."""

import uuid

import pytest

from migrations.reembed.verifying import comparison
from migrations.reembed.verifying.comparison import ResultComparison
from storage.search import Hit


def hits(ids: str) -> list[Hit]:
    return [
        Hit(uuid.uuid5(uuid.NAMESPACE_OID, id_), id_, 0.9 - no / 100, {}, 0, 0, 4, f"text {id_}")
        for no, id_ in enumerate(ids)
    ]


def compared(old: str, new: str, q: str = "a query") -> ResultComparison:
    return ResultComparison(q, hits(old), hits(new))


def test_overlap_and_shift_are_means_over_queries():
    overlap = comparison.mean_overlap([compared("abcd", "abcd"), compared("abcd", "dxyz")])
    assert overlap is not None
    assert overlap.mean == pytest.approx((1 + 0.25) / 2)
    assert overlap.at == 10
    assert overlap.rank_shift == pytest.approx((0 + 3) / 2)


def test_queries_without_a_common_document_have_no_shift():
    overlap = comparison.mean_overlap([compared("ab", "xy"), compared("ab", "ba")])
    assert overlap is not None
    assert overlap.rank_shift == 1


def test_without_results_there_is_no_overlap():
    assert comparison.mean_overlap([compared("", "")]) is None
    assert comparison.mean_overlap([]) is None
    overlap = comparison.mean_overlap([compared("", ""), compared("ab", "ax")])
    assert overlap is not None
    assert overlap.mean == 0.5


def test_the_most_changed_come_first_and_unchanged_ones_not_at_all():
    queries = [
        compared("abc", "abc", "same"),
        compared("abc", "cab", "moved"),
        compared("abc", "xyz", "other"),
        compared("abc", "abx", "one new"),
    ]
    changed = comparison.most_changed(queries)
    assert [query.q for query in changed] == ["other", "one new", "moved"]
    assert [result.id for result in changed[1].old] == list("abc")
    assert [result.id for result in changed[1].new] == list("abx")
    assert (changed[1].new[0].score, changed[1].new[0].text) == (0.9, "text a")


def test_ten_at_most_are_shown():
    assert len(comparison.most_changed([compared("a", "b")] * 11)) == 10


def test_texts_are_shortened():
    assert comparison.shortened("x" * 200, 200) == "x" * 200
    assert comparison.shortened("x" * 201, 200) == "x" * 199 + "\u2026"
