"""The queries that a target is judged by: what was searched, else what documents say themselves."""

import random
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from embedding.text.boundaries import SENTENCE
from storage import document_samples, query_samples

COUNT = 200
# With fewer than these the searches of a few people would decide.
ENOUGH_SEARCHES = 20
_LEAST_WORDS, _MOST_WORDS = 3, 25
# Of a language that is written without spaces.
_LEAST_CHARS, _MOST_CHARS = 6, 60
_READ_CHARS = 8000
_ROUNDS = 3


@dataclass(frozen=True)
class SampleQueries:
    """`source` is where most of them are from."""

    texts: list[str]
    source: Literal["searches", "documents"]


async def choose(conn: AsyncConnection, collection_id: UUID, rng: random.Random) -> SampleQueries:
    """Up to COUNT different ones; the same for equal `rng` while the collection is unchanged.

    A sentence lies next to its own document, so that recall by sentences is a little higher than
    by questions (0.988 and 0.958 at worst, docs/decisions.md).
    """
    searched = await query_samples.newest(conn, collection_id, COUNT)
    if len(searched) >= ENOUGH_SEARCHES:
        return SampleQueries(searched, "searches")
    start = UUID(int=rng.getrandbits(128))
    found = await document_samples.texts(
        conn, collection_id, start=start, count=COUNT, chars=_READ_CHARS
    )
    asked = dict.fromkeys(searched)
    for _ in range(_ROUNDS):  # more than one of a document where there are few
        for document in found:
            picked = pick_sentence(rng, document.beginning)
            if picked is not None and len(asked) < COUNT:
                asked[picked] = None
    mostly_searched = 2 * len(searched) > len(asked)
    return SampleQueries(list(asked), "searches" if mostly_searched else "documents")


def pick_sentence(rng: random.Random, text: str) -> str | None:
    """A random one of 3 to 25 words, cut out of a longer one if need be; None where there is none.

    Where no sentence has three words, one of 6 to 60 characters.
    """
    sentences = [" ".join(part.split()) for part in SENTENCE.split(text)]
    long_enough = [one.split() for one in sentences if one.count(" ") >= _LEAST_WORDS - 1]
    if long_enough:
        fitting = [words for words in long_enough if len(words) <= _MOST_WORDS]
        words = rng.choice(fitting or long_enough)
        start = rng.randint(0, max(0, len(words) - _MOST_WORDS))
        return " ".join(words[start : start + _MOST_WORDS])
    unspaced = [one for one in sentences if len(one) >= _LEAST_CHARS]
    if not unspaced:
        return None
    chars = rng.choice(unspaced)
    start = rng.randint(0, max(0, len(chars) - _MOST_CHARS))
    return chars[start : start + _MOST_CHARS].strip()
