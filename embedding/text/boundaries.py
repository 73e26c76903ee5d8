"""Where a text may be cut: between sentences, words, or tokens."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A boundary is where the next sentence or word starts. Every attempt to match takes bounded time or
# consumes what it read, so that runs of dots or spaces cost no more than other text.
SENTENCE = re.compile(
    r"(?<=[.!?\u2026])[\"'\u201d\u2019)\]\u00bb]{0,3}\s++"  # a closing mark, then white space
    r"|\n[ \t\r]*+\n\s*+"  # an empty line
    r"|[\u3002\uff01\uff1f\uff61][\"'\u201d\u2019\u300d\u300f\uff09]{0,3}\s*+"  # CJK: no space
)
WORD = re.compile(r"\s++|[\uff0c\u3001\uff1b\uff1a]")
# A token is rarely longer than a word; one that is (an unknown word of 5 MB) is cut.
CHARS_PER_TOKEN = 32


@dataclass(frozen=True, eq=False)
class TextBoundaries:
    """A text and where its tokens start and end: in characters, ascending."""

    text: str
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def chunk_end(self, start: int, max_tokens: int) -> int:
        """Where a chunk of at most `max_tokens` from `start` ends.

        After a sentence if possible, else after a word, else anywhere.
        """
        next_token = int(np.searchsorted(self.ends, start, side="right")) + max_tokens
        latest = min(len(self.text), start + CHARS_PER_TOKEN * max_tokens)
        if next_token < len(self.starts):
            latest = min(latest, max(start + 1, int(self.starts[next_token])))
        if latest == len(self.text):
            return latest
        # Some tokenizers count a space to the word after it; here it belongs to the word before.
        latest += len(self.text[latest : latest + 1]) - len(self.text[latest : latest + 1].lstrip())
        earliest = start + (latest - start) // 2
        for pattern in (SENTENCE, WORD):
            ends = [end for end in self._find(pattern, earliest, latest) if end > earliest]
            if ends:
                return ends[-1]
        return latest

    def include_blank_rest(self, end: int) -> int:
        """The end of the text if no token starts after `end`, else `end` itself."""
        is_blank = len(self.starts) == 0 or int(self.starts[-1]) < end
        return len(self.text) if is_blank else end

    def next_start(self, start: int, end: int, overlap: int) -> int:
        """Where the chunk after [start, end) starts: about `overlap` tokens before `end`."""
        before = int(np.searchsorted(self.starts, end, side="left"))
        if overlap == 0 or before == 0:
            return end
        earliest, target, latest = (
            int(self.starts[max(0, before - tokens)])
            for tokens in (overlap * 3 // 2, overlap, max(1, overlap // 2))
        )
        following = (
            next(self._find(SENTENCE, earliest, latest), None)
            or next(self._find(WORD, target, end), None)
            or target
        )
        # Each chunk has to add something new, whatever the tokens look like.
        return following if start + (end - start) // 8 < following < end else end

    def _find(self, pattern: re.Pattern[str], start: int, end: int) -> Iterator[int]:
        return (match.end() for match in pattern.finditer(self.text, start, end))
