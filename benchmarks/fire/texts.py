"""An endless supply of distinct texts, from WordNet if available, else of random words."""

import itertools
import random
import re
from collections.abc import Sequence
from functools import cache

from benchmarks import models

# One text in this many, on average, is long enough for several chunks.
LONG_EVERY = 30
LONG_PARTS = 14
_WORD = re.compile(r"[a-z]{4,12}")


class Texts:
    """Texts of one client; each client has its own seed, so that no text occurs twice."""

    def __init__(self, seed: str, corpus: Sequence[str] = ()) -> None:
        self._seed = seed
        self._corpus = corpus
        self._random = random.Random(seed)
        self._numbers = itertools.count()

    def new(self, *, short: bool = False) -> str:
        """A new text, which starts with a word that occurs in no other."""
        is_long = not short and self._random.random() < 1 / LONG_EVERY
        parts = [self._part() for _ in range(LONG_PARTS if is_long else 1)]
        return " ".join([f"q{self._seed}x{next(self._numbers)}.", *parts])

    def _part(self) -> str:
        if self._corpus:
            return self._random.choice(self._corpus)
        words = self._random.choices(vocabulary(), k=self._random.randint(6, 14))
        return f"{' '.join(words).capitalize()}."


@cache
def vocabulary() -> list[str]:
    """The bundled model's words: enough of them for texts that have little in common."""
    lines = (models.minilm_directory() / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return [word for word in lines if _WORD.fullmatch(word)]


def is_short(text: str) -> bool:
    """Whether the text certainly fits one chunk."""
    return len(text) < 150
