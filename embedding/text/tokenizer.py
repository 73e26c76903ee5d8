"""Texts to token ids, exactly as sentence-transformers makes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from embedding import errors
from embedding.model_files import description
from embedding.model_files import tokenizer as tokenizer_files

Ids = NDArray[np.int32]

# How much of a long text is read at once.
PIECE_CHARS = 8192
# Tokenizer.encode holds the GIL (0.6 s/MB), encode_batch doesn't; up to this many characters
# releasing the GIL costs more than it helps.
GIL_CHARS = 512
# Cutting a text after one of these changes no token on either side, with any tokenizer here. Other
# white space may be dropped by a normalizer before words are separated.
SPACES = " \t\r\n"


@dataclass(frozen=True, eq=False)
class Tokens:
    """A text as the model reads it: `ids` with the prompt and special tokens.

    `content` counts the tokens of the text itself, `unknown` those the tokenizer doesn't know.
    """

    ids: Ids
    content: int
    unknown: int


@dataclass(frozen=True, eq=False)
class Beginning:
    """The tokens of text[:end]; `cut`: there were more."""

    tokens: Tokens
    cut: bool
    end: int


class Tokenizer:
    """Texts to token ids as sentence-transformers makes them, never truncated or padded.

    Thread-safe: nothing changes after it is built.
    """

    def __init__(
        self, files: tokenizer_files.TokenizerFiles, *, limit: int | None, special_tokens: bool
    ) -> None:
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(files.json())
        except Exception as exc:  # the library raises a bare Exception for anything it can't read
            raise errors.ModelInvalid(files.file, f"not a tokenizer: {exc}") from exc
        self.limit = limit
        self._special_tokens = special_tokens
        self._unknown_id = _unknown_id(files.definition["model"])
        self.prefix, self.suffix = self._special_affixes()
        self._prompt_lengths: dict[str, int] = {}

    def encode(self, text: str, prompt: str = "") -> Tokens:
        """The tokens of the whole text."""
        encoding = self._encode(prompt + text)
        ids = np.array(encoding.ids, dtype=np.int32)
        return Tokens(
            ids, self._count_content(encoding, len(ids), prompt), self._count_unknown(ids)
        )

    def count(self, text: str, prompt: str) -> int:
        """How many tokens a text of any length has, with the prompt and special tokens."""
        if len(text) <= PIECE_CHARS:
            return len(self._encode(prompt + text).ids)
        complete = prompt + text
        counts = (
            len(self._tokenize(complete[start:end], special_tokens=False).ids)
            for start, end in _pieces(complete)
        )
        return len(self.prefix) + sum(counts) + len(self.suffix)

    def encoding(self, text: str, prompt: str) -> tokenizers.Encoding:
        """The library's own result; offsets are in characters of the prompt and the text."""
        return self._encode(prompt + text)

    @property
    def vocabulary(self) -> int:
        """Token ids are below this."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def offsets(self, text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the text's tokens start and end, in characters; takes linear time.

        Long texts are read in pieces. Near a piece's boundaries the tokens can differ from those of
        the whole text.
        """
        spans: list[NDArray[np.int64]] = []
        for start, end in _pieces(text):
            encoding = self._tokenize(text[start:end], special_tokens=False)
            offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
            spans.append(offsets[offsets[:, 1] > offsets[:, 0]] + start)
        offsets = np.concatenate(spans) if spans else np.empty((0, 2), np.int64)
        return offsets[:, 0], offsets[:, 1]

    def beginning(self, text: str, prompt: str, limit: int) -> Beginning:
        """The first tokens of a text, at most `limit` with the prompt and special tokens.

        The same as tokenizing everything and truncating it, but reads no more than it needs.
        """
        chars = max(PIECE_CHARS // 2, 8 * limit)
        while True:
            end = _after_space(text, chars)
            part = text[:end]
            encoding = self._encode(prompt + part)
            if end == len(text) or self._is_final(encoding, len(prompt) + len(part), limit):
                return self._truncate(encoding, prompt, limit, len(part))
            chars *= 4

    def overhead(self, prompt: str) -> int:
        """How many tokens of the limit the prompt and the special tokens take."""
        return len(self.prefix) + self.prompt_tokens(prompt) + len(self.suffix)

    def prompt_tokens(self, prompt: str) -> int:
        if prompt not in self._prompt_lengths:
            encoding = self._tokenizer.encode(prompt, add_special_tokens=False)
            self._prompt_lengths[prompt] = len(encoding.ids)
        return self._prompt_lengths[prompt]

    def pooled_from(self, prompt: str) -> int:
        """Tokens at the start that pooling leaves out if the model excludes the prompt."""
        return len(self.prefix) + self.prompt_tokens(prompt) if prompt else 0

    def _encode(self, text: str) -> tokenizers.Encoding:
        return self._tokenize(text, special_tokens=self._special_tokens)

    def _tokenize(self, text: str, *, special_tokens: bool) -> tokenizers.Encoding:
        if len(text) <= GIL_CHARS:
            return self._tokenizer.encode(text, add_special_tokens=special_tokens)
        return self._tokenizer.encode_batch([text], add_special_tokens=special_tokens)[0]

    def _count_content(self, encoding: tokenizers.Encoding, length: int, prompt: str) -> int:
        if not prompt:
            return length - len(self.prefix) - len(self.suffix)
        return sum(end > len(prompt) for _, end in encoding.offsets)

    def _count_unknown(self, ids: Ids) -> int:
        return 0 if self._unknown_id is None else int((ids == self._unknown_id).sum())

    def _is_final(self, encoding: tokenizers.Encoding, chars: int, limit: int) -> bool:
        """Whether no text after this part of it can change the tokens that are kept."""
        room = limit - len(self.prefix) - len(self.suffix)
        offsets = encoding.offsets[len(self.prefix) :]
        return (
            len(offsets) > room + len(self.suffix) and offsets[room][1] < chars - PIECE_CHARS // 8
        )

    def _truncate(
        self, encoding: tokenizers.Encoding, prompt: str, limit: int, chars: int
    ) -> Beginning:
        ids = np.array(encoding.ids, dtype=np.int32)
        if len(ids) <= limit:
            content = self._count_content(encoding, len(ids), prompt)
            return Beginning(Tokens(ids, content, self._count_unknown(ids)), False, chars)
        room = max(0, limit - len(self.suffix))
        ends = [end - len(prompt) for _, end in encoding.offsets[len(self.prefix) : room]]
        ids = np.concatenate([ids[:room], np.array(self.suffix, dtype=np.int32)])
        content = sum(end > 0 for end in ends)
        return Beginning(Tokens(ids, content, self._count_unknown(ids)), True, max(0, *ends, 0))

    def _special_affixes(self) -> tuple[list[int], list[int]]:
        """The special tokens before and after every text."""
        if not self._special_tokens:
            return [], []
        encoding = self._tokenizer.encode("a", add_special_tokens=True)
        content = [no for no, special in enumerate(encoding.special_tokens_mask) if not special]
        if not content:
            return list(encoding.ids), []
        return list(encoding.ids[: content[0]]), list(encoding.ids[content[-1] + 1 :])


def load(model: description.ModelDescription) -> Tokenizer:
    """The tokenizer of a described model; ModelInvalid."""
    first = model.modules[0]
    files = tokenizer_files.read(
        model.directory / first.folder,
        model_type=str(first.parameters.get("model_type", "")),
        do_lower_case=bool(first.parameters.get("do_lower_case", False)),
    )
    special_tokens = first.kind != "StaticEmbedding"
    return Tokenizer(files, limit=model.space.max_tokens, special_tokens=special_tokens)


def _unknown_id(model: Mapping[str, Any]) -> int | None:
    if model.get("unk_id") is not None:
        return int(model["unk_id"])
    vocabulary, token = model.get("vocab"), model.get("unk_token")
    if token is None or not isinstance(vocabulary, dict):
        return None
    id_ = vocabulary.get(token)
    return None if id_ is None else int(id_)


def _after_space(text: str, chars: int) -> int:
    """Where the first part of a text may end: after a space if its second half has one."""
    if len(text) <= chars:
        return len(text)
    last_space = max(text.rfind(space, chars // 2, chars) for space in SPACES)
    return last_space + 1 if last_space >= 0 else chars


def _pieces(text: str) -> list[tuple[int, int]]:
    pieces, start = [], 0
    while start < len(text):
        end = start + _after_space(text[start : start + PIECE_CHARS + 1], PIECE_CHARS)
        pieces.append((start, end))
        start = end
    return pieces
