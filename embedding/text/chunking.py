"""Documents to chunks: spans of text that fit the model, with their token ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeGuard

from embedding import errors
from embedding.text import boundaries
from embedding.text import tokenizer as text_tokenizer

# Grows with every change that makes other chunks of the same text; every index records its version.
CHUNKER_VERSION = 1
STRATEGIES = ("sentence", "none")
DEFAULT_SIZE = 512  # tokens, for a model without a limit
MIN_CONTENT_TOKENS = 16  # less room beside the prompt and special tokens must be a mistake

Strategy = Literal["sentence", "none"]
Span = tuple[int, int, text_tokenizer.Tokens]


class ChunkingInvalid(errors.EmbeddingError):
    """A chunking that is impossible, in general or with this model."""


@dataclass(frozen=True)
class Chunking:
    """How documents become chunks; `size` and `overlap` in tokens, None: the model's default."""

    strategy: Strategy = "sentence"
    size: int | None = None
    overlap: int | None = None

    @classmethod
    def from_dict(cls, content: Mapping[str, object]) -> "Chunking":
        """Raises ChunkingInvalid for an unknown key or value."""
        unknown = sorted(set(content) - {"strategy", "size", "overlap"})
        if unknown:
            raise ChunkingInvalid(f"chunking has no {unknown[0]!r}; it has strategy, size, overlap")
        strategy = content.get("strategy", "sentence")
        if not _is_strategy(strategy):
            raise ChunkingInvalid(
                f"chunking strategy {strategy!r}: use one of {', '.join(STRATEGIES)}"
            )
        return cls(
            strategy,
            _read_tokens(content, "size", minimum=1),
            _read_tokens(content, "overlap", minimum=0),
        )

    def resolve(self, tokenizer: text_tokenizer.Tokenizer, prompt: str) -> "Chunking":
        """The same with size and overlap filled in for a model; ChunkingInvalid if impossible."""
        limit, overhead = tokenizer.limit, tokenizer.overhead(prompt)
        if self.strategy == "none" and self.size is None and limit is None:
            return Chunking("none", None, 0)
        size = self.size or limit or DEFAULT_SIZE
        if limit is not None and size > limit:
            raise ChunkingInvalid(f"chunks of {size} tokens: the model reads at most {limit}")
        if size - overhead < MIN_CONTENT_TOKENS:
            raise ChunkingInvalid(
                f"chunks of {size} tokens leave {size - overhead} for the text (prompt and special"
                f" tokens take {overhead}); the minimum is {MIN_CONTENT_TOKENS + overhead}"
            )
        if self.strategy == "none":
            return Chunking("none", size, 0)
        overlap = (size - overhead) // 8 if self.overlap is None else self.overlap
        if overlap > (size - overhead) // 2:
            raise ChunkingInvalid(
                f"an overlap of {overlap} tokens is too long: at most half of the {size - overhead}"
                " tokens that a chunk has room for can overlap"
            )
        return Chunking("sentence", size, overlap)


@dataclass(frozen=True, eq=False)
class Chunk:
    """A span of a text, ready for the encoder: `ids` hold prompt and special tokens."""

    no: int
    char_start: int
    char_end: int
    token_count: int
    ids: text_tokenizer.Ids


@dataclass(frozen=True, eq=False)
class Prepared:
    """A text's chunks; `tokens` counts overlaps twice; `cut`: there was more text.

    `unknown_share`: the share of tokens that the tokenizer doesn't know.
    """

    chunks: tuple[Chunk, ...]
    cut: bool
    tokens: int
    unknown_share: float


def prepare(
    texts: Sequence[str],
    tokenizer: text_tokenizer.Tokenizer,
    chunking: Chunking,
    *,
    prompt: str = "",
) -> list[Prepared | errors.NoTokens]:
    """The chunks of each text, in order; ChunkingInvalid before any text is read."""
    resolved = chunking.resolve(tokenizer, prompt)
    return [_prepare(text, tokenizer, resolved, prompt) for text in texts]


def _prepare(
    text: str, tokenizer: text_tokenizer.Tokenizer, chunking: Chunking, prompt: str
) -> Prepared | errors.NoTokens:
    cut = False
    if chunking.strategy == "none" and chunking.size is not None:
        beginning = tokenizer.beginning(text, prompt, chunking.size)
        cut = beginning.cut
        spans = [(0, beginning.end, beginning.tokens)]
    elif chunking.size is None:
        spans = [(0, len(text), tokenizer.encode(text, prompt))]
    else:
        spans = _split(text, tokenizer, chunking, prompt)
    content = sum(tokens.content for _, _, tokens in spans)
    if content <= 0:
        return errors.NoTokens("the text has no token with content; add some words")
    return Prepared(
        chunks=tuple(
            Chunk(no, start, end, len(tokens.ids), tokens.ids)
            for no, (start, end, tokens) in enumerate(spans)
        ),
        cut=cut,
        tokens=sum(len(tokens.ids) for _, _, tokens in spans),
        unknown_share=min(1.0, sum(tokens.unknown for _, _, tokens in spans) / content),
    )


def _split(
    text: str, tokenizer: text_tokenizer.Tokenizer, chunking: Chunking, prompt: str
) -> list[Span]:
    size, overlap = chunking.size or DEFAULT_SIZE, chunking.overlap or 0
    if len(text) <= text_tokenizer.PIECE_CHARS:
        tokens = tokenizer.encode(text, prompt)
        if len(tokens.ids) <= size:
            return [(0, len(text), tokens)]
    text_places = boundaries.TextBoundaries(text, *tokenizer.offsets(text))
    room = size - tokenizer.overhead(prompt)
    spans: list[Span] = []
    start = 0
    while start < len(text):
        end, tokens = _fit(
            text_places, start, room=room, size=size, tokenizer=tokenizer, prompt=prompt
        )
        end = text_places.include_blank_rest(end)
        if spans and end <= spans[-1][1]:
            # Tokenized alone, the overlap fills the whole chunk: continue without it.
            start = spans[-1][1]
            continue
        _append(spans, (start, end, tokens))
        start = end if end == len(text) else text_places.next_start(start, end, overlap)
    return spans


def _append(spans: list[Span], span: Span) -> None:
    """Add a chunk; one without content, such as white space, is merged with its neighbour."""
    if not spans:
        spans.append(span)
    elif span[2].content <= 0:
        spans[-1] = (spans[-1][0], span[1], spans[-1][2])
    elif spans[-1][2].content <= 0:
        spans[-1] = (spans[-1][0], span[1], span[2])
    else:
        spans.append(span)


def _fit(
    text_places: boundaries.TextBoundaries,
    start: int,
    *,
    room: int,
    size: int,
    tokenizer: text_tokenizer.Tokenizer,
    prompt: str,
) -> tuple[int, text_tokenizer.Tokens]:
    """The longest chunk from `start` that stays within `size` when it is tokenized alone."""
    end = text_places.chunk_end(start, room)
    step = 1
    while True:
        tokens = tokenizer.encode(text_places.text[start:end], prompt)
        excess = len(tokens.ids) - size
        if excess <= 0:
            return end, tokens
        if end <= start + 1:  # one character with more tokens than fit: truncate them
            return end, tokenizer.beginning(text_places.text[start:end], prompt, size).tokens
        # Growing steps, because a text whose parts have more tokens would make this quadratic.
        room -= max(excess, step)
        step *= 2
        shorter = text_places.chunk_end(start, room) if room > 0 else end
        end = shorter if shorter < end else start + (end - start) // 2


def _is_strategy(value: object) -> TypeGuard[Strategy]:
    return value in STRATEGIES


def _read_tokens(content: Mapping[str, object], key: str, *, minimum: int) -> int | None:
    value = content.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise ChunkingInvalid(
            f"chunking {key} is {value!r}; it must be a whole number, at least {minimum}"
        )
    return value
