import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from embedding.model_files import description
from embedding.text import tokenizer
from tests import models

WORDS = "The quick brown fox jumps over the lazy dog; Donaudampfschifffahrt, 3.14 and 東京. "


@pytest.fixture(scope="module")
def minilm():
    return tokenizer.load(description.describe("minilm", models.minilm_directory()))


@pytest.fixture(scope="module")
def wordllama(tmp_path_factory):
    folder = models.wordllama_directory(tmp_path_factory.mktemp("wordllama"))
    return tokenizer.load(description.describe("wordllama", folder))


@pytest.fixture(scope="module")
def library():
    """The library's own tokenizer, which cuts as sentence-transformers tells it to."""
    file = models.minilm_directory() / "tokenizer.json"
    tokenizer = tokenizers.Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.enable_truncation(64)
    return tokenizer


def test_special_tokens_stand_around_a_text(minilm):
    tokens = minilm.encode("hello world")
    assert tokens.ids.tolist() == [101, 7592, 2088, 102]
    assert (tokens.content, tokens.unknown) == (2, 0)


def test_a_static_model_has_no_special_tokens(wordllama):
    assert (wordllama.prefix, wordllama.suffix, wordllama.limit) == ([], [], None)
    assert wordllama.encode("hello world").content == len(wordllama.encode("hello world").ids)


def test_nothing_is_cut_or_padded(minilm):
    assert len(minilm.encode("word " * 1000).ids) == 1002


def test_a_prompt_is_put_in_front_and_not_counted_as_the_texts_own(minilm):
    tokens = minilm.encode("hello", "query: ")
    assert tokens.ids.tolist() == minilm.encode("query: hello").ids.tolist()
    assert tokens.content == 1
    assert minilm.encode("   ", "query: ").content == 0
    assert minilm.overhead("query: ") == 4
    assert (minilm.pooled_from("query: "), minilm.pooled_from("")) == (3, 0)


def test_unknown_tokens_are_counted(minilm):
    assert minilm.encode("hello 😀 🚀").unknown == 2


@pytest.mark.parametrize("text", ["", " \n\t ", "\u200b", "\u0000"])
def test_what_the_normalizer_drops_is_not_content(minilm, text):
    assert minilm.encode(text).content == 0


@given(st.text(max_size=400), st.sampled_from(["", "query: ", "passage"]))
@settings(deadline=None)
def test_the_beginning_is_what_cutting_all_tokens_gives(minilm, library, text, prompt):
    beginning = minilm.beginning(text, prompt, 64)
    assert beginning.tokens.ids.tolist() == library.encode(prompt + text).ids
    assert beginning.cut == (len(minilm.encode(text, prompt).ids) > 64)


@pytest.mark.parametrize(
    "text",
    [
        WORDS * 500,
        "nospaces" * 5000,
        "東京は日本の首都" * 4000,
        " " * 30_000 + "late words",
        "a\u0301" * 9000,
        "x" * 150 + " " + WORDS * 300,
    ],
    ids=["words", "one word", "cjk", "spaces first", "combining", "unknown word first"],
)
def test_the_beginning_of_a_long_text_is_the_same_as_of_all_of_it(minilm, library, text):
    beginning = minilm.beginning(text, "", 64)
    assert beginning.tokens.ids.tolist() == library.encode(text).ids


@given(st.text(max_size=300))
@settings(deadline=None)
def test_offsets_are_in_characters_and_ascend(minilm, text):
    starts, ends = minilm.offsets(text)
    assert (starts < ends).all()
    assert (ends <= len(text)).all()
    assert (starts[1:] >= starts[:-1]).all()


def test_offsets_of_a_long_text_are_those_of_its_tokens(minilm):
    text = WORDS * 1000
    starts, ends = minilm.offsets(text)
    whole = minilm.encode(text)
    assert len(starts) == whole.content
    assert {text[start:end] for start, end in zip(starts[:3], ends[:3], strict=True)} == {
        "The",
        "quick",
        "brown",
    }
    assert starts[-1] == len(text) - 2
