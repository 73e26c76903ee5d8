"""How texts are put into batches for an encoder."""

import random

import numpy as np

from embedding.errors import NoTokens
from embedding.text import chunking
from indexing.documents import text_vectors


def chunks_of(*tokens: int) -> chunking.Prepared:
    chunks = [
        chunking.Chunk(no, 0, 1, count, np.zeros(count, np.int32))
        for no, count in enumerate(tokens)
    ]
    return chunking.Prepared(tuple(chunks), cut=False, tokens=sum(tokens), unknown_share=0.0)


def test_a_batch_has_texts_of_similar_lengths() -> None:
    tails = list(range(1, 97))
    random.Random(3).shuffle(tails)

    batches = list(text_vectors.batches([(tail, chunks_of(256, tail)) for tail in tails]))

    assert [[tail for tail, _ in batch] for batch in batches] == [
        list(range(96, 64, -1)),
        list(range(64, 32, -1)),
        list(range(32, 0, -1)),
    ]


def test_a_batch_has_whole_texts_and_64_chunks_at_most_but_for_a_long_text() -> None:
    pieces = [("long", chunks_of(*[256] * 100)), *((no, chunks_of(*[20] * 5)) for no in range(30))]

    batches = list(text_vectors.batches(pieces))

    assert [len(batch) for batch in batches] == [1, 12, 12, 6]
    assert sorted(str(name) for batch in batches for name, _ in batch) == sorted(
        str(name) for name, _ in pieces
    )


def test_texts_without_tokens_are_in_a_batch_too() -> None:
    batches = list(text_vectors.batches([("none", NoTokens("")), ("some", chunks_of(5))]))

    assert [[name for name, _ in batch] for batch in batches] == [["some", "none"]]
