"""Texts without end, none of them twice: WordNet's where it is given, else words at random."""

import itertools
import random
import re
from collections.abc import Sequence
from functools import cache

from benchmarks import models

# So many texts, on average, hold one of several chunks.
LONG_EVERY = 30
LONG_PARTS = 14
_WORD = re.compile(r"[a-z]{4,12}")


class Texts:
    """For one client: each has a seed of its own, so that no two make the same text."""

    def __init__(self, seed: str, corpus: Sequence[str] = ()) -> None:
        self._seed = seed
        self._corpus = corpus
        self._chance = random.Random(seed)
        self._numbers = itertools.count()

    def new(self, *, short: bool = False) -> str:
        """It begins with a word that is in no other text."""
        is_long = not short and self._chance.random() < 1 / LONG_EVERY
        parts = [self._part() for _ in range(LONG_PARTS if is_long else 1)]
        return " ".join([f"q{self._seed}x{next(self._numbers)}.", *parts])

    def _part(self) -> str:
        if self._corpus:
            return self._chance.choice(self._corpus)
        words = self._chance.choices(vocabulary(), k=self._chance.randint(6, 14))
        return f"{' '.join(words).capitalize()}."


@cache
def vocabulary() -> list[str]:
    """The words of the bundled model: many enough for texts that have little in common."""
    lines = (models.minilm_directory() / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return [word for word in lines if _WORD.fullmatch(word)]


def is_short(text: str) -> bool:
    """Of one chunk for sure."""
    return len(text) < 150
