"""What clients know of what is stored, and how they take what they are told."""

import random

import pytest

from benchmarks.fire import writer
from benchmarks.fire.session import Answer, Lost, NotSent
from benchmarks.fire.shelf import Shelf
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
def test_outcomes(answer, outcome):
    assert writer._outcome(answer)[0] == outcome


def test_the_shelf_holds_what_is_surely_stored():
    shelf, chance = Shelf(), random.Random(1)
    assert shelf.any(chance) is None
    assert shelf.gone(chance) is None
    for no in range(5):
        shelf.put(f"d{no}", f"text {no}")
    shelf.put("d3", "another")
    shelf.drop("d0")
    shelf.drop("d4")
    shelf.drop("unknown")
    assert shelf.all() == {"d1": "text 1", "d2": "text 2", "d3": "another"}
    assert {shelf.any(chance) for _ in range(50)} == set(shelf.all().items())
    assert {shelf.gone(chance) for _ in range(50)} == {"text 0", "text 3", "text 4"}


@pytest.mark.parametrize("corpus", [(), ("A gloss.",)])
def test_texts_are_never_the_same_and_the_same_for_a_seed(corpus):
    made = [Texts("1a", corpus), Texts("1a", corpus), Texts("1b", corpus)]
    found = [[one.new() for _ in range(200)] for one in made]
    assert found[0] == found[1]
    assert len({*found[0], *found[2]}) == 400
    assert any(len(text) > 100 for text in found[0])
