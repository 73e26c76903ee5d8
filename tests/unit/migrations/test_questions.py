"""Sentences picked from documents as queries."""

import random

import pytest

from migrations.reembed.verifying import questions

RNG = random.Random(1)


def picked(text: str) -> set[str | None]:
    return {questions.pick_sentence(RNG, text) for _ in range(100)}


def test_a_sentence_is_picked_whole_unless_too_short():
    sentences = picked("The boat lies on the lake. Yes. It was built\nin Oslo!  Who knows?")
    assert sentences == {"The boat lies on the lake.", "It was built in Oslo!"}


def test_a_long_sentence_is_not_picked_if_another_fits():
    long = " ".join(f"w{no}" for no in range(40)) + "."
    assert picked(f"{long} Three short words.") == {"Three short words."}


def test_of_long_sentences_a_part_is_taken():
    long = " ".join(f"w{no}" for no in range(40)) + "."
    sentences = picked(long)
    assert len(sentences) > 5
    for part in sentences:
        assert part is not None
        assert len(part.split()) == 25
        assert part in long


@pytest.mark.parametrize("text", ["", " \n ", "two words", "...", "a b. c d."])
def test_what_has_no_sentence_gives_none_or_characters(text: str):
    for part in picked(text):
        assert part is None or len(part) >= 6


def test_text_without_spaces_gives_characters():
    text = "\u8239\u306f\u6e56\u306e\u4e0a\u306b\u3042\u308b\u3002" * 30
    assert picked(text) == {text[:8]}
    unbroken = "".join(chr(0x4E00 + no) for no in range(200))
    assert all(part and len(part) == 60 and part in unbroken for part in picked(unbroken))
