"""Texts as clients send them to rows of token ids; none is truncated unless they allow it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from embedding import errors
from embedding.model_files import description
from embedding.text import tokenizer as text_tokenizer

Role = Literal["query", "document"]
# The average in natural text.
_CHARS_PER_TOKEN = 4


@dataclass(frozen=True, eq=False)
class Rows:
    """What the encoder gets; `pooled_from` is the same for all rows."""

    ids: list[text_tokenizer.Ids]
    cut: tuple[bool, ...]
    pooled_from: int

    @property
    def tokens(self) -> tuple[int, ...]:
        return tuple(len(row) for row in self.ids)


@dataclass(frozen=True, eq=False)
class Tokenized:
    """A complete text as the model would read it, never truncated.

    `offsets` are in characters of the text, None for the prompt and special tokens.
    """

    ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int] | None]


class Reader:
    """Reads texts for one model; thread-safe."""

    def __init__(
        self, model: description.ModelDescription, tokenizer: text_tokenizer.Tokenizer
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer

    def prompt(self, role: Role) -> str:
        return (
            self._model.query_prompt.text if role == "query" else self._model.document_prompt.text
        )

    def estimate(self, texts: Sequence[str], *, truncate: bool) -> int:
        """About how many tokens the texts have, without reading them; cut at the limit or not."""
        limit = self._tokenizer.limit if truncate else None
        counts = (len(text) // _CHARS_PER_TOKEN + 2 for text in texts)
        return sum(counts if limit is None else (min(limit, count) for count in counts))

    def read(self, texts: Sequence[str], role: Role, *, truncate: bool) -> Rows:
        """Raises NoTokens and TextTooLong with the index of the text."""
        prompt = self.prompt(role)
        beginnings = [
            self._beginning(no, text, prompt, truncate=truncate) for no, text in enumerate(texts)
        ]
        return Rows(
            [beginning.tokens.ids for beginning in beginnings],
            tuple(beginning.cut for beginning in beginnings),
            self.pooled_from(prompt),
        )

    def read_ids(self, rows: Sequence[Sequence[int]], *, truncate: bool) -> Rows:
        """Token ids as `tokenize` returns them; TokenIdsInvalid, TextTooLong."""
        limit = self._tokenizer.limit
        ids, cut = [], []
        for no, row in enumerate(rows):
            self._check_ids(no, row)
            is_longer = limit is not None and len(row) > limit
            if is_longer and not truncate:
                raise errors.TextTooLong(no, len(row), limit or 0)
            ids.append(np.array(self._truncate(row) if is_longer else row, dtype=np.int32))
            cut.append(is_longer)
        return Rows(ids, tuple(cut), self.pooled_from(self.prompt("document")))

    def tokenize(self, texts: Sequence[str], role: Role) -> list[Tokenized]:
        return [self._tokenized(text, self.prompt(role)) for text in texts]

    def _beginning(
        self, no: int, text: str, prompt: str, *, truncate: bool
    ) -> text_tokenizer.Beginning:
        limit = self._tokenizer.limit
        if limit is None:
            tokens = self._tokenizer.encode(text, prompt)
            beginning = text_tokenizer.Beginning(tokens, False, len(text))
        else:
            beginning = self._tokenizer.beginning(text, prompt, limit)
        if beginning.tokens.content <= 0:
            raise errors.NoTokens("the text has no token with content; add some words", no)
        if beginning.cut and not truncate:
            raise errors.TextTooLong(no, self._tokenizer.count(text, prompt), limit or 0)
        return beginning

    def _check_ids(self, no: int, row: Sequence[int]) -> None:
        count = self._tokenizer.vocabulary
        wrong = next((position for position, id_ in enumerate(row) if not 0 <= id_ < count), None)
        if wrong is not None:
            raise errors.TokenIdsInvalid(
                no, f"[{wrong}] is {row[wrong]}, but this model's ids go from 0 to {count - 1}"
            )
        if len(row) <= len(self._tokenizer.prefix) + len(self._tokenizer.suffix):
            raise errors.TokenIdsInvalid(no, "it has no token with content")

    def _truncate(self, row: Sequence[int]) -> list[int]:
        """As a text is truncated: the special tokens at the end stay."""
        suffix = self._tokenizer.suffix
        room = (self._tokenizer.limit or len(row)) - len(suffix)
        return [*row[:room], *suffix]

    def pooled_from(self, prompt: str) -> int:
        """How many tokens at the start pooling leaves out."""
        if self._model.space.include_prompt:
            return 0
        return self._tokenizer.pooled_from(prompt)

    def _tokenized(self, text: str, prompt: str) -> Tokenized:
        encoding = self._tokenizer.encoding(text, prompt)
        offsets: list[tuple[int, int] | None] = []
        for (start, end), special in zip(
            encoding.offsets, encoding.special_tokens_mask, strict=True
        ):
            is_content = not special and end > len(prompt)
            offsets.append((max(0, start - len(prompt)), end - len(prompt)) if is_content else None)
        return Tokenized(list(encoding.ids), list(encoding.tokens), offsets)
