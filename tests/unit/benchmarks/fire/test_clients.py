"""The clients' knowledge of stored documents, and their reading of answers."""

import random

import pytest

from benchmarks.fire import writer
from benchmarks.fire.known_documents import KnownDocuments
from benchmarks.fire.session import Answer, Lost, NotSent
from benchmarks.fire.texts import Texts


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(200, {}), "ok"),
        (Answer(204, None), "ok"),
        (Answer(422, {"detail": "no"}), "failed"),
        (Answer(429, {}), "failed"),
        (Answer(503, {}), "unknown"),
        (Answer(500, "torn"), "unknown"),
        (NotSent("refused"), "failed"),
        (Lost("reset"), "unknown"),
    ],
)
def test_an_answer_determines_the_outcome(answer, outcome):
    assert writer._outcome(answer)[0] == outcome


def test_known_documents_are_those_certainly_stored():
    known, random_ = KnownDocuments(), random.Random(1)
    assert known.pick(random_) is None
    assert known.pick_former_text(random_) is None
    for no in range(5):
        known.put(f"d{no}", f"text {no}")
    known.put("d3", "another")
    known.remove("d0")
    known.remove("d4")
    known.remove("unknown")
    assert known.texts() == {"d1": "text 1", "d2": "text 2", "d3": "another"}
    assert {known.pick(random_) for _ in range(50)} == set(known.texts().items())
    assert {known.pick_former_text(random_) for _ in range(50)} == {"text 0", "text 3", "text 4"}


@pytest.mark.parametrize("corpus", [(), ("A gloss.",)])
def test_texts_are_distinct_and_reproducible_by_seed(corpus):
    generators = [Texts("1a", corpus), Texts("1a", corpus), Texts("1b", corpus)]
    batches = [[generator.new() for _ in range(200)] for generator in generators]
    assert batches[0] == batches[1]
    assert len({*batches[0], *batches[2]}) == 400
    assert any(len(text) > 100 for text in batches[0])
