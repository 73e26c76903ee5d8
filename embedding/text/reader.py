"""Texts as clients send them to rows of token ids, each counted and none cut unasked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from embedding import errors
from embedding.model_files import description
from embedding.text import tokenizer

Role = Literal["query", "document"]
# About as many characters as a token of a natural text has.
_CHARS_A_TOKEN = 4


@dataclass(frozen=True, eq=False)
class Rows:
    """What the encoder gets; `tokens` and `cut` of each row, `pooled_from` of all."""

    ids: list[tokenizer.Ids]
    cut: tuple[bool, ...]
    pooled_from: int

    @property
    def tokens(self) -> tuple[int, ...]:
        return tuple(len(row) for row in self.ids)


@dataclass(frozen=True, eq=False)
class Tokenized:
    """A whole text as the model would read it, never cut.

    `offsets` are characters of the text, None for the prompt and special tokens.
    """

    ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int] | None]


class Reader:
    """Reads texts for one model; several threads may use one."""

    def __init__(self, model: description.ModelDescription, tokenizer: tokenizer.Tokenizer) -> None:
        self._model = model
        self._tokenizer = tokenizer

    def prompt(self, role: Role) -> str:
        return (
            self._model.query_prompt.text if role == "query" else self._model.document_prompt.text
        )

    def estimate(self, texts: Sequence[str], *, whole: bool = False) -> int:
        """About how many tokens are read of the texts, without reading them; or of the `whole`."""
        limit = None if whole else self._tokenizer.limit
        tokens = (len(text) // _CHARS_A_TOKEN + 2 for text in texts)
        return sum(tokens if limit is None else (min(limit, one) for one in tokens))

    def read(self, texts: Sequence[str], role: Role, *, truncate: bool) -> Rows:
        """Raises NoTokens and TextTooLong with the place of the text."""
        prompt = self.prompt(role)
        found = [
            self._beginning(no, text, prompt, truncate=truncate) for no, text in enumerate(texts)
        ]
        return Rows(
            [one.tokens.ids for one in found],
            tuple(one.cut for one in found),
            self.pooled_from(prompt),
        )

    def take(self, rows: Sequence[Sequence[int]], *, truncate: bool) -> Rows:
        """Token ids as `tokenize` gives them; TokenIdsInvalid, TextTooLong."""
        limit = self._tokenizer.limit
        ids, cut = [], []
        for no, row in enumerate(rows):
            self._check_ids(no, row)
            over = limit is not None and len(row) > limit
            if over and not truncate:
                raise errors.TextTooLong(no, len(row), limit or 0)
            ids.append(np.array(self._shortened(row) if over else row, dtype=np.int32))
            cut.append(over)
        return Rows(ids, tuple(cut), self.pooled_from(self.prompt("document")))

    def tokenize(self, texts: Sequence[str], role: Role) -> list[Tokenized]:
        return [self._tokenized(text, self.prompt(role)) for text in texts]

    def _beginning(self, no: int, text: str, prompt: str, *, truncate: bool) -> tokenizer.Beginning:
        limit = self._tokenizer.limit
        if limit is None:
            tokens = self._tokenizer.encode(text, prompt)
            found = tokenizer.Beginning(tokens, False, len(text))
        else:
            found = self._tokenizer.beginning(text, prompt, limit)
        if found.tokens.own <= 0:
            raise errors.NoTokens(
                "the text has no token that carries content; give it some words", no
            )
        if found.cut and not truncate:
            raise errors.TextTooLong(no, self._tokenizer.count(text, prompt), limit or 0)
        return found

    def _check_ids(self, no: int, row: Sequence[int]) -> None:
        most = self._tokenizer.vocabulary
        wrong = next((place for place, id_ in enumerate(row) if not 0 <= id_ < most), None)
        if wrong is not None:
            raise errors.TokenIdsInvalid(
                no, f"[{wrong}] is {row[wrong]}, but this model's ids go from 0 to {most - 1}"
            )
        if len(row) <= len(self._tokenizer.prefix) + len(self._tokenizer.suffix):
            raise errors.TokenIdsInvalid(no, "it has no token that carries content")

    def _shortened(self, row: Sequence[int]) -> list[int]:
        """Cut as a text is: the special tokens at the end stay."""
        suffix = self._tokenizer.suffix
        kept = (self._tokenizer.limit or len(row)) - len(suffix)
        return [*row[:kept], *suffix]

    def pooled_from(self, prompt: str) -> int:
        if self._model.space.include_prompt:
            return 0
        return self._tokenizer.pooled_from(prompt)

    def _tokenized(self, text: str, prompt: str) -> Tokenized:
        encoding = self._tokenizer.whole(text, prompt)
        offsets: list[tuple[int, int] | None] = []
        for (start, end), special in zip(
            encoding.offsets, encoding.special_tokens_mask, strict=True
        ):
            own = not special and end > len(prompt)
            offsets.append((max(0, start - len(prompt)), end - len(prompt)) if own else None)
        return Tokenized(list(encoding.ids), list(encoding.tokens), offsets)
