"""How close a table's vectors are to those that a model gives for the same texts."""

import collections
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from embedding.errors import NoTokens
from embedding.model import LoadedModel
from embedding.text import chunking, tokenizer
from indexing.adoption.candidates import Candidate
from storage.adoption.source_rows import SourceRow

_AT_ONCE = 64
# Near: this share of the way from the cosine of unrelated texts to 1. E5 gives any two texts 0.75,
# so a cosine by itself says little.
_NEAR = 0.5


@dataclasses.dataclass(frozen=True)
class Bounds:
    """A model matches if `least_share` of the rows reach `least_cosine`."""

    least_cosine: float = 0.999
    least_share: float = 0.99


@dataclasses.dataclass(frozen=True, eq=False)
class TableSample:
    """Rows that can be compared, with their `vectors`, (rows, dimensions), scaled to unit length.

    `left_out`: rows whose vector is zero, not finite or of other dimensions.
    """

    rows: Sequence[SourceRow]
    vectors: NDArray[np.float64]
    left_out: int

    @property
    def dimensions(self) -> int:
        return int(self.vectors.shape[1])


def sampled(rows: Sequence[SourceRow], dimensions: int | None, *, max_chars: int) -> TableSample:
    """The comparable ones of `rows`; `dimensions` of None: what most of them have."""
    with_vector = [row for row in rows if row.embedding is not None]
    if dimensions is None:
        sizes = collections.Counter(len(_numbers(row)) for row in with_vector)
        dimensions = sizes.most_common(1)[0][0] if sizes else 0
    pairs = [
        (row, unit)
        for row in with_vector
        if row.text is not None and row.text.strip() and len(row.text) <= max_chars
        if (unit := unit_length(_numbers(row), dimensions)) is not None
    ]
    vectors = np.asarray([unit for _, unit in pairs], np.float64).reshape(-1, dimensions)
    return TableSample([row for row, _ in pairs], vectors, len(with_vector) - len(pairs))


def unit_length(embedding: NDArray[np.float32], dimensions: int) -> NDArray[np.float64] | None:
    """The vector in float64 at unit length; None if it has no direction or another size."""
    if len(embedding) != dimensions:
        return None
    precise = embedding.astype(np.float64)
    length = float(np.linalg.norm(precise))
    return precise / length if np.isfinite(length) and length > 0 else None


def _numbers(row: SourceRow) -> NDArray[np.float32]:
    return np.empty(0, np.float32) if row.embedding is None else row.embedding


@dataclasses.dataclass(frozen=True, eq=False)
class Match:
    """Cosines between stored and new vectors, one a row; NaN for texts without tokens.

    `tokens`: of the whole text; `cut`: whether the model reads only a part of it; `unrelated`: the
    median cosine between the vectors of different texts.
    """

    candidate: Candidate
    bounds: Bounds
    cosines: NDArray[np.float64]
    tokens: NDArray[np.int64]
    cut: NDArray[np.bool_]
    unrelated: float

    @property
    def compared(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.cosines)

    @property
    def differs(self) -> NDArray[np.bool_]:
        return self.compared & (self.cosines < self.bounds.least_cosine)

    def quantile(self, part: float) -> float:
        """Of the cosines; 0 if nothing was compared."""
        cosines = self.cosines[self.compared]
        return float(np.quantile(cosines, part)) if len(cosines) else 0.0

    @property
    def median(self) -> float:
        return self.quantile(0.5)

    @property
    def share(self) -> float:
        """The share of the compared rows that reach `least_cosine`."""
        return self.share_of(self.compared)

    def share_of(self, rows: NDArray[np.bool_]) -> float:
        """As `share`, of these rows alone; 0 if none of them was compared."""
        compared = rows & self.compared
        return 1 - float(self.differs[compared].mean()) if compared.any() else 0.0

    @property
    def matches(self) -> bool:
        return bool(self.compared.any()) and self.share >= self.bounds.least_share

    @property
    def is_near(self) -> bool:
        """Far closer than the vectors of other texts, but not a match."""
        closeness = (self.median - self.unrelated) / max(1e-9, 1 - self.unrelated)
        return not self.matches and closeness >= _NEAR

    @property
    def cut_elsewhere(self) -> bool:
        """Whether texts over the model's limit were embedded with another limit."""
        over = self.cut & self.compared
        return bool(over.any()) and self.share_of(over) < 0.5


Progress = Callable[[int], None]


async def compare(
    model: LoadedModel,
    candidate: Candidate,
    sample: TableSample,
    bounds: Bounds,
    progress: Progress,
) -> Match:
    """Embed the texts of the sample again; `progress` gets the number of further texts done."""
    cosines = np.full(len(sample.rows), np.nan)
    tokens = np.zeros(len(sample.rows), np.int64)
    cut = np.zeros(len(sample.rows), np.bool_)
    unrelated: list[float] = []
    prompt = model.description.document_prompt.text
    for start in range(0, len(sample.rows), _AT_ONCE):
        part = slice(start, min(start + _AT_ONCE, len(sample.rows)))
        texts = [row.text or "" for row in sample.rows[part]]
        prepared = await model.prepare(texts, chunking.Chunking("none"))
        new = await vectors_of(model, prepared)
        stored = sample.vectors[part]
        cosines[part] = (stored * new).sum(axis=1)
        unrelated += [float(cosine) for cosine in (stored * np.roll(new, 1, axis=0)).sum(axis=1)]
        for no, text in enumerate(prepared, start):
            if isinstance(text, chunking.Prepared):
                cut[no] = text.cut
                tokens[no] = _tokens(model.tokenizer, texts[no - start], prompt, text)
        progress(len(texts))
    others = np.asarray(unrelated if len(sample.rows) > 1 else [])
    others = others[~np.isnan(others)]
    return Match(
        candidate, bounds, cosines, tokens, cut, float(np.median(others)) if len(others) else 0.0
    )


async def vectors_of(
    model: LoadedModel, prepared: Sequence[chunking.Prepared | NoTokens]
) -> NDArray[np.float64]:
    """The vector of each text's first chunk, at unit length; NaN for a text without tokens."""
    vectors = np.full((len(prepared), model.space.dimensions), np.nan)
    chunks = [
        (no, text.chunks[0])
        for no, text in enumerate(prepared)
        if isinstance(text, chunking.Prepared)
    ]
    if chunks:
        encoded = await model.encode_chunks([chunk for _, chunk in chunks])
        vectors[[no for no, _ in chunks]] = encoded.vectors.astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _tokens(
    tokenizer: tokenizer.Tokenizer, text: str, prompt: str, prepared: chunking.Prepared
) -> int:
    return tokenizer.count(text, prompt) if prepared.cut else prepared.tokens


def best(matches: Sequence[Match]) -> Match | None:
    """The closest of those that match; of equally close ones the first."""
    matching = [match for match in matches if match.matches]
    # Differences after the sixth digit are noise between two backends.
    return max(
        matching, key=lambda match: (round(match.share, 4), round(match.median, 6)), default=None
    )
