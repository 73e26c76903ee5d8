"""Reading and sampling of corpora."""

import json

import pytest

from benchmarks import corpora


@pytest.fixture
def folder(tmp_path):
    lines = [{"_id": str(no), "title": f"title {no}", "text": f"text {no}"} for no in range(20)]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    queries = [{"_id": "q1", "text": "one"}, {"_id": "q2", "text": "two"}]
    (tmp_path / "queries.jsonl").write_text("\n".join(json.dumps(line) for line in queries))
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq2\t17\t1\nq2\t3\t2\n")
    return tmp_path


def test_title_and_text_are_embedded_together(folder):
    documents = corpora.documents(folder)
    assert documents[4].whole == "title 4 text 4"
    assert json.loads(corpora.ndjson(documents)[4]) == {"id": "4", "text": "title 4 text 4"}


def test_queries_without_a_judgment_are_left_out(folder):
    queries, judgments = corpora.judged_queries(folder)
    assert queries == [corpora.Query("q2", "two")]
    assert judgments == {"q2": {"17": 1, "3": 2}}


def test_a_sample_is_reproducible(folder):
    documents = corpora.documents(folder)
    assert corpora.sample(documents, 5) == corpora.sample(documents, 5)
    assert corpora.sample(documents, 5) != corpora.sample(documents, 5, seed=1)
    assert len({document.id for document in corpora.sample(documents, 5)}) == 5
    assert corpora.sample(documents, 0) == corpora.sample(documents, 99) == documents


def test_a_smaller_corpus_keeps_the_relevant_documents(folder):
    documents = corpora.documents(folder)
    _, judgments = corpora.judged_queries(folder)
    sampled = {document.id for document in corpora.with_relevant(documents, judgments, 4)}
    assert {"3", "17"} < sampled
    assert len(sampled) == 4
