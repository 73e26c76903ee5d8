import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A border is where the next sentence or word starts. Every attempt to match takes bounded time or
# eats what it looked at, so that runs of dots or spaces cost no more than other text.
SENTENCE = re.compile(
    r"(?<=[.!?\u2026])[\"'\u201d\u2019)\]\u00bb]{0,3}\s++"  # a sign that ends it, then space
    r"|\n[ \t\r]*+\n\s*+"  # an empty line
    r"|[\u3002\uff01\uff1f\uff61][\"'\u201d\u2019\u300d\u300f\uff09]{0,3}\s*+"  # CJK: no space
)
WORD = re.compile(r"\s++|[\uff0c\u3001\uff1b\uff1a]")
# A token is rarely more than a word; where one is (an unknown word of 5 MB), it is cut.
CHARS_PER_TOKEN = 32


@dataclass(frozen=True, eq=False)
class TextBoundaries:
    """A text with the places of its tokens: `starts` and `ends` in characters, ascending."""

    text: str
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def end(self, start: int, room: int) -> int:
        """Where a chunk of at most `room` tokens from `start` ends: a sentence's, a word's, any."""
        behind = int(np.searchsorted(self.ends, start, side="right")) + room
        most = min(len(self.text), start + CHARS_PER_TOKEN * room)
        if behind < len(self.starts):
            most = min(most, max(start + 1, int(self.starts[behind])))
        if most == len(self.text):
            return most
        # Some tokenizers count a space to the word behind it; here it belongs to the word before.
        most += len(self.text[most : most + 1]) - len(self.text[most : most + 1].lstrip())
        least = start + (most - start) // 2
        for kind in (SENTENCE, WORD):
            found = [at for at in self._borders(kind, least, most) if at > least]
            if found:
                return found[-1]
        return most

    def with_empty_rest(self, end: int) -> int:
        """The end of the text where no token starts behind `end`, else `end` itself."""
        rest = len(self.starts) == 0 or int(self.starts[-1]) < end
        return len(self.text) if rest else end

    def overlapped(self, start: int, end: int, overlap: int) -> int:
        """Where the chunk behind [start, end) starts, about `overlap` tokens before its end."""
        before = int(np.searchsorted(self.starts, end, side="left"))
        if overlap == 0 or before == 0:
            return end
        earliest, target, latest = (
            int(self.starts[max(0, before - tokens)])
            for tokens in (overlap * 3 // 2, overlap, max(1, overlap // 2))
        )
        found = (
            next(self._borders(SENTENCE, earliest, latest), None)
            or next(self._borders(WORD, target, end), None)
            or target
        )
        # Each chunk has to bring something new, whatever the tokens look like.
        return found if start + (end - start) // 8 < found < end else end

    def _borders(self, kind: re.Pattern[str], start: int, end: int) -> Iterator[int]:
        return (match.end() for match in kind.finditer(self.text, start, end))
