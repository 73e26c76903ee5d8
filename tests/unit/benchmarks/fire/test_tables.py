"""The oracle catches every fault that the tables can hold, and takes none for one that is none."""

import dataclasses

import pytest

from benchmarks.fire import stored, tables
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
    found = stored.Stored(list(documents), list(indexes))
    return [fault.kind for fault in tables.judge(found, history(*events), embed)]


def test_clean(one):
    assert kinds([put("a newt", 1, 2)], [one], index(*rows(one))) == []


def test_long_texts_have_chunks_that_overlap():
    one = document(LONG)
    assert kinds([put(LONG, 1, 2)], [one], index(*rows(one, SPANS))) == []


def test_both_indexes_are_judged(one):
    kept = index(id_=2, state="retained")
    assert kinds([put("a newt", 1, 2)], [one], index(*rows(one)), kept) == ["missing"]


def test_what_is_pending_is_not_missing_but_counted(one):
    waiting = index(pending=[one.key])
    assert kinds([put("a newt", 1, 2)], [one], waiting) == []
    assert tables.lacking(stored.Stored([one], [waiting])) == {1: 1}


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
def test_documents_are_what_was_acknowledged(events, text, kind):
    documents = [] if text is None else [document(text)]
    filled = index(*(row for one in documents for row in rows(one)))
    assert kinds(events, documents, filled) == [kind]


@pytest.mark.parametrize("stands", ["a boat", "a newt", None])
def test_what_was_not_acknowledged_may_be_there_or_not(stands):
    events = [
        put("a newt", 1, 2),
        put("a boat", 3, 4, "unknown"),
        delete(5, 6, "unknown"),
        put("a car", 7, 8, "failed"),
    ]
    documents = [] if stands is None else [document(stands)]
    filled = index(*(row for one in documents for row in rows(one)))
    assert kinds(events, documents, filled) == []


def test_a_vector_of_another_text_under_the_right_hash_is_stale(one):
    wrong = index(*rows(one, of="a boat on the lake"))
    assert kinds([put("a newt", 1, 2)], [one], wrong) == ["stale"]


def test_rows_of_a_former_text_never_count_but_are_counted(one):
    former = dataclasses.replace(rows(one)[0], text_hash=b"another", chunk_no=3)
    filled = index(*rows(one), former)
    assert kinds([put("a newt", 1, 2)], [one], filled) == []
    assert tables.orphans(stored.Stored([one], [filled])) == {1: 1}
    assert kinds([put("a newt", 1, 2)], [one], index(former)) == ["missing"]


def test_a_vector_of_another_space_is_mixed(one):
    mixed = index(*rows(one, space_id=8))
    assert kinds([put("a newt", 1, 2)], [one], mixed) == ["mixed-space"]


@pytest.mark.parametrize("numbers", [[0, 0, 1], [0, 0], [1, 2], [0], [0, 2]], ids=str)
def test_chunks_that_do_not_fit_their_text(numbers):
    one = document(LONG)
    all_rows = rows(one, [*SPANS, SPANS[1]])
    chosen = [dataclasses.replace(all_rows[min(no, 1)], chunk_no=no) for no in numbers]
    assert kinds([put(LONG, 1, 2)], [one], index(*chosen)) == ["duplicate"]


def test_a_document_that_is_stored_twice(one):
    again = dataclasses.replace(one, key=document("x", "other").key)
    found = kinds([put("a newt", 1, 2)], [one, again], index(*rows(one), *rows(again)))
    assert found == ["duplicate"]
