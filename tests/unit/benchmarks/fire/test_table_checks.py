"""The table checks find every kind of fault in the tables and report no false ones."""

import dataclasses

import pytest

from benchmarks.fire import snapshot, table_checks
from tests.unit.benchmarks.fire.conftest import (
    delete,
    document,
    embed,
    history,
    index,
    patch,
    put,
    rows,
)

LONG = "a newt lives in a pond. a hawk hunts by day."
SPANS = [(0, 24), (20, len(LONG))]


def kinds(events, documents, *indexes):
    tables = snapshot.Snapshot(list(documents), list(indexes))
    return [fault.kind for fault in table_checks.check(tables, history(*events), embed)]


def test_no_fault_is_reported_for_correct_tables(newt):
    assert kinds([put("a newt", 1, 2)], [newt], index(*rows(newt))) == []


def test_long_texts_have_chunks_that_overlap():
    long = document(LONG)
    assert kinds([put(LONG, 1, 2)], [long], index(*rows(long, SPANS))) == []


def test_every_live_index_is_checked(newt):
    retained = index(id_=2, state="retained")
    assert kinds([put("a newt", 1, 2)], [newt], index(*rows(newt)), retained) == ["missing"]


def test_pending_documents_are_counted_and_not_missing(newt):
    waiting = index(pending=[newt.key])
    assert kinds([put("a newt", 1, 2)], [newt], waiting) == []
    assert table_checks.waiting_documents(snapshot.Snapshot([newt], [waiting])) == {1: 1}


@pytest.mark.parametrize(
    ("events", "text", "kind"),
    [
        ([put("a newt", 1, 2)], None, "lost"),
        ([put("a boat", 1, 2), put("a newt", 3, 4)], "a boat", "lost"),
        ([put("a newt", 1, 2), delete(3, 4)], "a newt", "resurrected"),
        ([], "a newt", "resurrected"),
        ([put("a newt", 1, 2), patch(5, 3, 4)], "a newt", "lost"),
    ],
)
def test_documents_must_match_acknowledged_writes(events, text, kind):
    documents = [] if text is None else [document(text)]
    filled = index(*(row for stored in documents for row in rows(stored)))
    assert kinds(events, documents, filled) == [kind]


@pytest.mark.parametrize("stored_text", ["a boat", "a newt", None])
def test_unacknowledged_writes_may_have_happened_or_not(stored_text):
    events = [
        put("a newt", 1, 2),
        put("a boat", 3, 4, "unknown"),
        delete(5, 6, "unknown"),
        put("a car", 7, 8, "failed"),
    ]
    documents = [] if stored_text is None else [document(stored_text)]
    filled = index(*(row for stored in documents for row in rows(stored)))
    assert kinds(events, documents, filled) == []


def test_a_vector_of_another_text_under_the_right_hash_is_stale(newt):
    wrong = index(*rows(newt, text="a boat on the lake"))
    assert kinds([put("a newt", 1, 2)], [newt], wrong) == ["stale"]


def test_rows_of_a_former_text_never_count_but_are_counted(newt):
    old = dataclasses.replace(rows(newt)[0], text_hash=b"another", chunk_no=3)
    filled = index(*rows(newt), old)
    assert kinds([put("a newt", 1, 2)], [newt], filled) == []
    assert table_checks.orphans(snapshot.Snapshot([newt], [filled])) == {1: 1}
    assert kinds([put("a newt", 1, 2)], [newt], index(old)) == ["missing"]


def test_a_vector_of_another_space_is_a_mixed_space_fault(newt):
    mixed = index(*rows(newt, space_id=8))
    assert kinds([put("a newt", 1, 2)], [newt], mixed) == ["mixed-space"]


@pytest.mark.parametrize("numbers", [[0, 0, 1], [0, 0], [1, 2], [0], [0, 2]], ids=str)
def test_chunks_must_cover_their_text_exactly_once(numbers):
    long = document(LONG)
    all_rows = rows(long, [*SPANS, SPANS[1]])
    misnumbered = [dataclasses.replace(all_rows[min(no, 1)], chunk_no=no) for no in numbers]
    assert kinds([put(LONG, 1, 2)], [long], index(*misnumbered)) == ["duplicate"]


def test_a_document_stored_twice_is_a_duplicate(newt):
    again = dataclasses.replace(newt, key=document("x", "other").key)
    fault_kinds = kinds([put("a newt", 1, 2)], [newt, again], index(*rows(newt), *rows(again)))
    assert fault_kinds == ["duplicate"]
