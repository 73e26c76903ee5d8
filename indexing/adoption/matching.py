"""How near a table's vectors are to those that a model makes of the same texts."""

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
# Of the way from vectors of other texts to equal ones: E5 gives 0.75 to any two texts, so that a
# cosine by itself says little.
_NEAR = 0.5


@dataclasses.dataclass(frozen=True)
class Bounds:
    """A model matches where `least_share` of the rows reach `least_cosine`."""

    least_cosine: float = 0.999
    least_share: float = 0.99


@dataclasses.dataclass(frozen=True, eq=False)
class TableSample:
    """Rows whose vectors can be compared: `vectors` are theirs, (rows, dimensions), of unit length.

    `left_out` rows have a vector that is zero, not finite, or of other dimensions.
    """

    rows: Sequence[SourceRow]
    vectors: NDArray[np.float64]
    left_out: int

    @property
    def dimensions(self) -> int:
        return int(self.vectors.shape[1])


def sampled(rows: Sequence[SourceRow], dimensions: int | None, *, max_chars: int) -> TableSample:
    """`dimensions` of None: those that most rows have."""
    with_vector = [row for row in rows if row.embedding is not None]
    if dimensions is None:
        sizes = collections.Counter(len(_numbers(row)) for row in with_vector)
        dimensions = sizes.most_common(1)[0][0] if sizes else 0
    good = [
        (row, unit)
        for row in with_vector
        if row.text is not None and row.text.strip() and len(row.text) <= max_chars
        if (unit := unit_length(_numbers(row), dimensions)) is not None
    ]
    vectors = np.asarray([unit for _, unit in good], np.float64).reshape(-1, dimensions)
    return TableSample([row for row, _ in good], vectors, len(with_vector) - len(good))


def unit_length(embedding: NDArray[np.float32], dimensions: int) -> NDArray[np.float64] | None:
    """The vector in float64 at unit length; None for one that has no direction or doesn't fit."""
    if len(embedding) != dimensions:
        return None
    precise = embedding.astype(np.float64)
    length = float(np.linalg.norm(precise))
    return precise / length if np.isfinite(length) and length > 0 else None


def _numbers(row: SourceRow) -> NDArray[np.float32]:
    return np.empty(0, np.float32) if row.embedding is None else row.embedding


@dataclasses.dataclass(frozen=True, eq=False)
class Match:
    """Cosines between stored and new vectors, NaN where the model makes none of the text.

    `tokens` are those of the whole text, `cut` says where the model reads fewer. `unrelated`: the
    median between a text's vector and that of another text.
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
        found = self.cosines[self.compared]
        return float(np.quantile(found, part)) if len(found) else 0.0

    @property
    def median(self) -> float:
        return self.quantile(0.5)

    @property
    def share(self) -> float:
        """Of the rows that were compared, those that reach the bound."""
        return self.share_of(self.compared)

    def share_of(self, rows: NDArray[np.bool_]) -> float:
        chosen = rows & self.compared
        return 1 - float(self.differs[chosen].mean()) if chosen.any() else 0.0

    @property
    def matches(self) -> bool:
        return bool(self.compared.any()) and self.share >= self.bounds.least_share

    @property
    def is_near(self) -> bool:
        """Far nearer than vectors of other texts would be."""
        way = (self.median - self.unrelated) / max(1e-9, 1 - self.unrelated)
        return not self.matches and way >= _NEAR

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
    """Embed the sample's texts again; `progress` is told how many more are done."""
    cosines = np.full(len(sample.rows), np.nan)
    tokens = np.zeros(len(sample.rows), np.int64)
    cut = np.zeros(len(sample.rows), np.bool_)
    unrelated: list[float] = []
    prompt = model.description.document_prompt.text
    for start in range(0, len(sample.rows), _AT_ONCE):
        part = slice(start, min(start + _AT_ONCE, len(sample.rows)))
        texts = [row.text or "" for row in sample.rows[part]]
        prepared = await model.prepare(texts, chunking.Chunking("none"))
        made = await vectors_of(model, prepared)
        stored = sample.vectors[part]
        cosines[part] = (stored * made).sum(axis=1)
        unrelated += [float(one) for one in (stored * np.roll(made, 1, axis=0)).sum(axis=1)]
        for no, one in enumerate(prepared, start):
            if isinstance(one, chunking.Prepared):
                cut[no] = one.cut
                tokens[no] = _tokens(model.tokenizer, texts[no - start], prompt, one)
        progress(len(texts))
    others = np.asarray(unrelated if len(sample.rows) > 1 else [])
    others = others[~np.isnan(others)]
    return Match(
        candidate, bounds, cosines, tokens, cut, float(np.median(others)) if len(others) else 0.0
    )


async def vectors_of(
    model: LoadedModel, prepared: Sequence[chunking.Prepared | NoTokens]
) -> NDArray[np.float64]:
    """One vector for each text, cut to one chunk; NaN where there is none."""
    made = np.full((len(prepared), model.space.dimensions), np.nan)
    chunks = [
        (no, one.chunks[0]) for no, one in enumerate(prepared) if isinstance(one, chunking.Prepared)
    ]
    if chunks:
        encoded = await model.encode_chunks([chunk for _, chunk in chunks])
        made[[no for no, _ in chunks]] = encoded.vectors.astype(np.float64)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def _tokens(
    tokenizer: tokenizer.Tokenizer, text: str, prompt: str, prepared: chunking.Prepared
) -> int:
    return tokenizer.count(text, prompt) if prepared.cut else prepared.tokens


def best(matches: Sequence[Match]) -> Match | None:
    """Of those that match the nearest; of equally near ones the first."""
    good = [match for match in matches if match.matches]
    # What is equal to six digits is the noise of two backends.
    return max(good, key=lambda one: (round(one.share, 4), round(one.median, 6)), default=None)
