"""Chooses the queries that both indexes are compared with: recent searches, or sentences."""

import random
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from embedding.text.boundaries import SENTENCE
from storage import document_samples, query_samples

COUNT = 200
# With fewer, the searches of a few people would decide.
ENOUGH_SEARCHES = 20
_MIN_WORDS, _MAX_WORDS = 3, 25
# For languages written without spaces.
_MIN_CHARS, _MAX_CHARS = 6, 60
_READ_CHARS = 8000
_ROUNDS = 3


@dataclass(frozen=True)
class SampleQueries:
    """`source` is where most of them come from."""

    texts: list[str]
    source: Literal["searches", "documents"]


async def choose(conn: AsyncConnection, collection_id: UUID, rng: random.Random) -> SampleQueries:
    """Up to COUNT distinct queries; the same for an equal `rng` and an unchanged collection.

    A sentence is near its own document, so recall is a little higher with sentences than with
    real questions (0.988 and 0.958 at worst, docs/decisions.md).
    """
    searches = await query_samples.newest(conn, collection_id, COUNT)
    if len(searches) >= ENOUGH_SEARCHES:
        return SampleQueries(searches, "searches")
    start = UUID(int=rng.getrandbits(128))
    documents = await document_samples.texts(
        conn, collection_id, start=start, count=COUNT, chars=_READ_CHARS
    )
    queries = dict.fromkeys(searches)
    for _ in range(_ROUNDS):  # several sentences per document if there are few documents
        for document in documents:
            sentence = pick_sentence(rng, document.beginning)
            if sentence is not None and len(queries) < COUNT:
                queries[sentence] = None
    mostly_searches = 2 * len(searches) > len(queries)
    return SampleQueries(list(queries), "searches" if mostly_searches else "documents")


def pick_sentence(rng: random.Random, text: str) -> str | None:
    """A random sentence of 3 to 25 words, cut out of a longer one if necessary.

    If no sentence has three words, one of 6 to 60 characters; None if there is none.
    """
    sentences = [" ".join(part.split()) for part in SENTENCE.split(text)]
    long_enough = [
        sentence.split() for sentence in sentences if sentence.count(" ") >= _MIN_WORDS - 1
    ]
    if long_enough:
        fitting = [words for words in long_enough if len(words) <= _MAX_WORDS]
        words = rng.choice(fitting or long_enough)
        start = rng.randint(0, max(0, len(words) - _MAX_WORDS))
        return " ".join(words[start : start + _MAX_WORDS])
    unspaced = [sentence for sentence in sentences if len(sentence) >= _MIN_CHARS]
    if not unspaced:
        return None
    chars = rng.choice(unspaced)
    start = rng.randint(0, max(0, len(chars) - _MAX_CHARS))
    return chars[start : start + _MAX_CHARS].strip()
