import dataclasses
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedding import errors
from embedding.model_files import description
from embedding.text import chunking, tokenizer
from tests import models

SENTENCES = " ".join(
    f"Sentence {no} tells of the {word} in a few words."
    for no, word in enumerate(["harbour", "mountain", "server", "violin", "vaccine"] * 40)
)
SMALL = chunking.Chunking("sentence", 32)
TEXT = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(
            ["a word. ", "longer words here, ", "\n\n", "東京。", "🚀", "  ", "x" * 120, "e\u0301"]
        ),
    ),
    max_size=60,
).map("".join)


@pytest.fixture(scope="module")
def minilm():
    return tokenizer.load(description.describe("minilm", models.minilm_directory()))


@pytest.fixture(scope="module")
def wordllama(tmp_path_factory):
    folder = models.wordllama_directory(tmp_path_factory.mktemp("wordllama"))
    return tokenizer.load(description.describe("wordllama", folder))


def prepare(text, tokenizer, how=None, prompt=""):
    (prepared,) = chunking.prepare([text], tokenizer, how or chunking.Chunking(), prompt=prompt)
    return prepared


def check(text, tokenizer, prepared, size, prompt=""):
    """What holds of the chunks of any text."""
    chunks = prepared.chunks
    assert [chunk.no for chunk in chunks] == list(range(len(chunks)))
    assert (chunks[0].char_start, chunks[-1].char_end) == (0, len(text))
    for before, after in itertools.pairwise(chunks):
        assert before.char_start < after.char_start <= before.char_end < after.char_end
    for chunk in chunks:
        assert chunk.token_count == len(chunk.ids) <= size
        span = text[chunk.char_start : chunk.char_end]
        again = tokenizer.encode(span, prompt).ids
        assert chunk.ids.tolist() == again.tolist()[: len(chunk.ids)]


def test_an_overlap_that_fills_the_chunk_is_left_out(wordllama):
    """By itself it has more tokens than within the text, so the next chunk would add nothing."""
    text = ". BY>: Baagn:: 00000000\u0800" + "\U00010000" * 4
    check(text, wordllama, prepare(text, wordllama, SMALL), SMALL.size)


@pytest.mark.parametrize("prompt", ["", "passage: "])
@given(text=TEXT)
@settings(deadline=None, max_examples=150)
def test_chunks_of_any_text_cover_it_within_the_size(minilm, prompt, text):
    prepared = prepare(text, minilm, SMALL, prompt)
    if isinstance(prepared, errors.NoTokens):
        assert minilm.encode(text, prompt).content == 0
    else:
        check(text, minilm, prepared, 32, prompt)


@given(text=TEXT)
@settings(deadline=None, max_examples=150)
def test_chunks_of_a_static_model_cover_any_text(wordllama, text):
    prepared = prepare(text, wordllama, SMALL)
    if isinstance(prepared, chunking.Prepared):
        check(text, wordllama, prepared, 32)


def test_a_text_within_the_limit_is_one_chunk(minilm):
    prepared = prepare("A short text.", minilm)
    (chunk,) = prepared.chunks
    assert (chunk.char_start, chunk.char_end, chunk.token_count) == (0, 13, 6)
    assert (prepared.cut, prepared.tokens, prepared.unknown_share) == (False, 6, 0.0)


def test_chunks_end_at_sentences_and_overlap_by_some_of_them(minilm):
    prepared = prepare(SENTENCES, minilm)
    check(SENTENCES, minilm, prepared, 256)
    assert len(prepared.chunks) > 5
    for before, after in itertools.pairwise(prepared.chunks):
        assert SENTENCES[: before.char_end].endswith(". ")
        assert SENTENCES[after.char_start :].startswith("Sentence ")
        shared = minilm.encode(SENTENCES[after.char_start : before.char_end]).content
        assert 0.05 * 256 <= shared <= 0.2 * 256


def test_without_sentences_chunks_end_at_words(minilm):
    text = "word another things " * 200
    for chunk in prepare(text, minilm).chunks:
        assert text[chunk.char_start :].split(" ", maxsplit=1)[0] in ("word", "another", "things")
        assert chunk.char_end == len(text) or text[chunk.char_end - 1] == " "


def test_a_word_longer_than_a_chunk_is_cut(minilm):
    text = "supercalifragilistic" * 3000
    check(text, minilm, prepare(text, minilm, SMALL), 32)


def test_no_overlap_when_none_is_wanted(minilm):
    prepared = prepare(SENTENCES, minilm, chunking.Chunking("sentence", 64, 0))
    assert all(
        before.char_end == after.char_start for before, after in itertools.pairwise(prepared.chunks)
    )


def test_prompt_and_special_tokens_are_in_every_chunk(minilm):
    prompt = minilm.encode("passage: ").ids.tolist()[:-1]
    for chunk in prepare(SENTENCES, minilm, SMALL, "passage: ").chunks:
        assert chunk.ids.tolist()[: len(prompt)] == prompt
        assert chunk.ids[-1] == 102


def test_a_model_without_a_limit_gets_chunks_of_the_default_size(wordllama):
    prepared = prepare(SENTENCES, wordllama)
    assert len(prepared.chunks) > 3
    check(SENTENCES, wordllama, prepared, chunking.DEFAULT_SIZE)


def test_strategy_none_keeps_the_beginning_and_says_so(minilm):
    none = chunking.Chunking("none")
    prepared = prepare(SENTENCES, minilm, none)
    (chunk,) = prepared.chunks
    assert prepared.cut
    assert chunk.token_count == 256
    assert chunk.ids.tolist() == [*minilm.encode(SENTENCES).ids.tolist()[:255], 102]
    assert 0 < chunk.char_end < len(SENTENCES)
    assert not prepare("short", minilm, none).cut


def test_strategy_none_takes_all_of_a_text_if_there_is_no_limit(wordllama):
    prepared = prepare(SENTENCES, wordllama, chunking.Chunking("none"))
    assert not prepared.cut
    assert prepared.chunks[0].token_count == len(wordllama.encode(SENTENCES).ids)


@pytest.mark.parametrize("text", ["", "  \n", "\u200b\u200d", " " * 50_000])
@pytest.mark.parametrize("strategy", ["sentence", "none"])
def test_a_text_without_content_has_no_tokens(minilm, text, strategy):
    found = prepare(text, minilm, chunking.Chunking(strategy), "passage: ")
    assert isinstance(found, errors.NoTokens)


def test_one_text_without_tokens_fails_alone(minilm):
    found = chunking.prepare(["one", " ", "two"], minilm, chunking.Chunking())
    assert [isinstance(one, chunking.Prepared) for one in found] == [True, False, True]


def test_white_space_belongs_to_the_neighbouring_chunk(minilm):
    text = " " * 40_000 + "a few words" + "\n" * 40_000
    prepared = prepare(text, minilm, SMALL)
    check(text, minilm, prepared, 32)
    assert len(prepared.chunks) == 1


def test_the_share_of_unknown_tokens_is_of_the_texts_own(minilm):
    assert prepare("😀 word 🚀 🎉", minilm).unknown_share == 0.75
    assert prepare("a word", minilm).unknown_share == 0.0


def test_a_chunking_is_read_from_its_fields():
    for how in (chunking.Chunking(), SMALL, chunking.Chunking("none")):
        assert chunking.Chunking.from_dict(dataclasses.asdict(how)) == how


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({"strategy": "pages"}, "pages"),
        ({"strategy": ["none"]}, "none"),
        ({"size": 0}, "size"),
        ({"size": True}, "size"),
        ({"overlap": -1}, "overlap"),
        ({"length": 3}, "length"),
    ],
)
def test_an_invalid_chunking_is_refused_by_name(content, word):
    with pytest.raises(chunking.ChunkingInvalid, match=word):
        chunking.Chunking.from_dict(content)


@pytest.mark.parametrize(
    "how",
    [
        chunking.Chunking("sentence", 257),
        chunking.Chunking("none", 300),
        chunking.Chunking("sentence", 8),
        chunking.Chunking("sentence", 100, 60),
    ],
)
def test_a_chunking_that_the_model_cannot_serve_is_refused(minilm, how):
    with pytest.raises(chunking.ChunkingInvalid):
        how.resolve(minilm, "")


def test_resolving_fills_in_the_models_numbers(minilm):
    resolved = chunking.Chunking().resolve(minilm, "")
    assert resolved == chunking.Chunking("sentence", 256, 31)
    assert resolved.resolve(minilm, "") == resolved
