from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from embedding import errors
from embedding.model_files import description, tokenizer

Ids = NDArray[np.int32]

# What is read of a long text at once.
PIECE_CHARS = 8192
# Tokenizer.encode holds the GIL (0.6 s/MB), encode_batch does not; up to this many characters
# giving the GIL away costs more than it helps.
HOLDING_CHARS = 512
# What no tokenizer here reads across: a text may be cut behind one of these without changing the
# tokens on either side. A normalizer may drop other white space before words are told apart.
SPACES = " \t\r\n"


@dataclass(frozen=True, eq=False)
class Tokens:
    """A text as the model reads it: `ids` with prompt and special tokens, `own` without."""

    ids: Ids
    own: int
    unknown: int


@dataclass(frozen=True, eq=False)
class Beginning:
    """The tokens of text[:end]; `cut` says if there were more."""

    tokens: Tokens
    cut: bool
    end: int


class Tokenizer:
    """Texts to token ids exactly as sentence-transformers makes them, never cut or padded.

    Several threads may use one: nothing of it changes once it is built.
    """

    def __init__(
        self, files: tokenizer.TokenizerFiles, *, limit: int | None, special_tokens: bool
    ) -> None:
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(files.json())
        except Exception as exc:  # the library raises bare Exception for whatever it can't read
            raise errors.ModelInvalid(files.file, f"not a tokenizer: {exc}") from exc
        self.limit = limit
        self._special_tokens = special_tokens
        self._unknown_id = _unknown_id(files.definition["model"])
        self.prefix, self.suffix = self._template()
        self._prompt_lengths: dict[str, int] = {}

    def encode(self, text: str, prompt: str = "") -> Tokens:
        """The tokens of the whole text."""
        encoding = self._encode(prompt + text)
        ids = np.array(encoding.ids, dtype=np.int32)
        return Tokens(ids, self._own(encoding, len(ids), prompt), self._unknown(ids))

    def count(self, text: str, prompt: str) -> int:
        """Tokens of all of a text, however long, with prompt and special tokens."""
        if len(text) <= PIECE_CHARS:
            return len(self._encode(prompt + text).ids)
        whole = prompt + text
        own = (
            len(self._of(whole[start:end], special_tokens=False).ids)
            for start, end in _pieces(whole)
        )
        return len(self.prefix) + sum(own) + len(self.suffix)

    def whole(self, text: str, prompt: str) -> tokenizers.Encoding:
        """All that the library tells; offsets are characters of the prompt and the text."""
        return self._encode(prompt + text)

    @property
    def vocabulary(self) -> int:
        """Token ids are below this."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def offsets(self, text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the text's own tokens start and end, in characters; linear in any length of text.

        Near the borders of the pieces that it is read in, the tokens can differ from those of the
        whole text.
        """
        spans: list[NDArray[np.int64]] = []
        for start, end in _pieces(text):
            encoding = self._of(text[start:end], special_tokens=False)
            found = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
            spans.append(found[found[:, 1] > found[:, 0]] + start)
        joined = np.concatenate(spans) if spans else np.empty((0, 2), np.int64)
        return joined[:, 0], joined[:, 1]

    def beginning(self, text: str, prompt: str, limit: int) -> Beginning:
        """The first tokens, at most `limit` with prompt and special tokens.

        The same that tokenizing everything and cutting would give, but reads no more than it needs.
        """
        chars = max(PIECE_CHARS // 2, 8 * limit)
        while True:
            end = _behind_space(text, chars)
            part = text[:end]
            encoding = self._encode(prompt + part)
            whole = end == len(text)
            if whole or self._settled(encoding, len(prompt) + len(part), limit):
                return self._cut(encoding, prompt, limit, len(part))
            chars *= 4

    def overhead(self, prompt: str) -> int:
        """Tokens that the prompt and the special tokens take of every text's limit."""
        return len(self.prefix) + self.prompt_tokens(prompt) + len(self.suffix)

    def prompt_tokens(self, prompt: str) -> int:
        if prompt not in self._prompt_lengths:
            encoding = self._tokenizer.encode(prompt, add_special_tokens=False)
            self._prompt_lengths[prompt] = len(encoding.ids)
        return self._prompt_lengths[prompt]

    def pooled_from(self, prompt: str) -> int:
        """Tokens at the start to leave out of pooling where a model doesn't include the prompt."""
        return len(self.prefix) + self.prompt_tokens(prompt) if prompt else 0

    def _encode(self, text: str) -> tokenizers.Encoding:
        return self._of(text, special_tokens=self._special_tokens)

    def _of(self, text: str, *, special_tokens: bool) -> tokenizers.Encoding:
        if len(text) <= HOLDING_CHARS:
            return self._tokenizer.encode(text, add_special_tokens=special_tokens)
        return self._tokenizer.encode_batch([text], add_special_tokens=special_tokens)[0]

    def _own(self, encoding: tokenizers.Encoding, length: int, prompt: str) -> int:
        if not prompt:
            return length - len(self.prefix) - len(self.suffix)
        return sum(end > len(prompt) for _, end in encoding.offsets)

    def _unknown(self, ids: Ids) -> int:
        return 0 if self._unknown_id is None else int((ids == self._unknown_id).sum())

    def _settled(self, encoding: tokenizers.Encoding, chars: int, limit: int) -> bool:
        """If the tokens that are kept can't depend on the text behind this part of it."""
        kept = limit - len(self.prefix) - len(self.suffix)
        offsets = encoding.offsets[len(self.prefix) :]
        return (
            len(offsets) > kept + len(self.suffix) and offsets[kept][1] < chars - PIECE_CHARS // 8
        )

    def _cut(self, encoding: tokenizers.Encoding, prompt: str, limit: int, chars: int) -> Beginning:
        ids = np.array(encoding.ids, dtype=np.int32)
        if len(ids) <= limit:
            own = self._own(encoding, len(ids), prompt)
            return Beginning(Tokens(ids, own, self._unknown(ids)), False, chars)
        kept = max(0, limit - len(self.suffix))
        ends = [end - len(prompt) for _, end in encoding.offsets[len(self.prefix) : kept]]
        ids = np.concatenate([ids[:kept], np.array(self.suffix, dtype=np.int32)])
        own = sum(end > 0 for end in ends)
        return Beginning(Tokens(ids, own, self._unknown(ids)), True, max(0, *ends, 0))

    def _template(self) -> tuple[list[int], list[int]]:
        """The special tokens that stand before and behind every text."""
        if not self._special_tokens:
            return [], []
        encoding = self._tokenizer.encode("a", add_special_tokens=True)
        own = [no for no, special in enumerate(encoding.special_tokens_mask) if not special]
        if not own:
            return list(encoding.ids), []
        return list(encoding.ids[: own[0]]), list(encoding.ids[own[-1] + 1 :])


def load(model: description.ModelDescription) -> Tokenizer:
    """The tokenizer of a described model; ModelInvalid."""
    first = model.modules[0]
    files = tokenizer.read(
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
    found = vocabulary.get(token)
    return None if found is None else int(found)


def _behind_space(text: str, chars: int) -> int:
    """An end for the first part of a text, behind a space where there is one in its last half."""
    if len(text) <= chars:
        return len(text)
    found = max(text.rfind(space, chars // 2, chars) for space in SPACES)
    return found + 1 if found >= 0 else chars


def _pieces(text: str) -> list[tuple[int, int]]:
    pieces, start = [], 0
    while start < len(text):
        end = start + _behind_space(text[start : start + PIECE_CHARS + 1], PIECE_CHARS)
        pieces.append((start, end))
        start = end
    return pieces
