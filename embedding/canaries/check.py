"""Fixed texts whose vectors tell if an encoder still makes the space that it says it makes."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from embedding.canaries import texts
from embedding.encoders import encoder
from embedding.model_files import description
from embedding.text import tokenizer

VERSION = texts.VERSION

QUIET_NATURAL, QUIET_EDGE = 0.9999, 0.999
REFUSE_NATURAL, REFUSE_EDGE = 0.999, 0.99

Kind = Literal["natural", "edge"]
Level = Literal["quiet", "warn", "refuse"]


@dataclass(frozen=True)
class Canary:
    text: str
    kind: Kind


@dataclass(frozen=True)
class CanaryReport:
    """The worst cosines (0 for NaN, 1 where none was compared) and the texts that moved."""

    worst_natural: float
    worst_edge: float
    level: Level
    moved: tuple[tuple[str, float], ...]

    def describe(self) -> str:
        texts = "; ".join(f"{_short(text)!r} {cosine:.6f}" for text, cosine in self.moved[:5])
        more = f" and {len(self.moved) - 5} more" if len(self.moved) > 5 else ""
        return (
            f"cosine to the reference at worst {self.worst_natural:.6f} (natural),"
            f" {self.worst_edge:.6f} (edge)" + (f"; moved: {texts}{more}" if texts else "")
        )


TEXTS: tuple[Canary, ...] = (
    *(Canary(text, "natural") for text in texts.NATURAL),
    *(Canary(text, "edge") for text in texts.EDGE),
)
ALL: tuple[int, ...] = tuple(range(len(TEXTS)))
# Two natural, then one each of: upper case, accents, one character, the limit, CJK, code.
QUICK: tuple[int, ...] = (
    0,
    7,
    *(len(texts.NATURAL) + texts.EDGE.index(text) for text in texts.QUICK_EDGE),
)


def compare(
    reference: NDArray[np.float32],
    vectors: NDArray[np.float32],
    which: Sequence[int] = ALL,
) -> CanaryReport:
    """Cosines in float64, row by row; both arrays hold the canaries `which`, in that order.

    A reference of length zero (a text of which the model reads nothing) is passed over.
    """
    if reference.shape != vectors.shape or len(reference) != len(which):
        return CanaryReport(0.0, 0.0, "refuse", tuple((TEXTS[no].text, 0.0) for no in which))
    cosines = _cosines(reference.astype(np.float64), vectors.astype(np.float64))
    worst = {"natural": 1.0, "edge": 1.0}
    moved = []
    for no, cosine in zip(which, cosines, strict=True):
        canary = TEXTS[no]
        worst[canary.kind] = min(worst[canary.kind], cosine)
        if cosine < (QUIET_NATURAL if canary.kind == "natural" else QUIET_EDGE):
            moved.append((canary.text, cosine))
    moved.sort(key=lambda found: found[1])
    return CanaryReport(worst["natural"], worst["edge"], _level(**worst), tuple(moved))


def worse(one: CanaryReport, other: CanaryReport) -> CanaryReport:
    """What two comparisons of the same canaries say together."""
    cosines = dict(one.moved)
    for text, cosine in other.moved:
        cosines[text] = min(cosine, cosines.get(text, 1.0))
    natural = min(one.worst_natural, other.worst_natural)
    edge = min(one.worst_edge, other.worst_edge)
    moved = tuple(sorted(cosines.items(), key=lambda found: found[1]))
    return CanaryReport(natural, edge, _level(natural, edge), moved)


def _cosines(reference: NDArray[np.float64], vectors: NDArray[np.float64]) -> list[float]:
    lengths = np.linalg.norm(reference, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        products = (reference * vectors).sum(axis=1)
        cosines = products / (lengths * np.linalg.norm(vectors, axis=1))
    cosines = np.where(np.isfinite(cosines), cosines, 0.0)
    return [float(cosine) for cosine in np.where(lengths == 0, 1.0, cosines)]


def _level(natural: float, edge: float) -> Level:
    if natural < REFUSE_NATURAL or edge < REFUSE_EDGE:
        return "refuse"
    return "quiet" if natural >= QUIET_NATURAL and edge >= QUIET_EDGE else "warn"


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


class Check:
    """Compares an encoder with a space's reference, (canaries, dimensions)."""

    def __init__(
        self,
        tokenizer: tokenizer.Tokenizer,
        model: description.ModelDescription,
        reference: encoder.Vectors,
    ) -> None:
        self.reference = reference
        prompt = model.document_prompt.text
        self.rows = [token_row(tokenizer, canary.text, prompt) for canary in TEXTS]
        self.pooled_from = 0 if model.space.include_prompt else tokenizer.pooled_from(prompt)

    def run(self, encodes: encoder.Encoder, which: Sequence[int] = ALL) -> CanaryReport:
        """The canaries alone as queries are, and in padded batches as documents are; blocks."""
        reference = self.reference[list(which)]
        alone = self.vectors(encodes, which, alone=True)
        together = self.vectors(encodes, which, alone=False)
        return worse(compare(reference, alone, which), compare(reference, together, which))

    def vectors(
        self, encodes: encoder.Encoder, which: Sequence[int], *, alone: bool
    ) -> encoder.Vectors:
        """In the order of `which`; the rows of texts that fail are NaN."""
        result = np.full((len(which), self.reference.shape[1]), np.nan, np.float32)
        for places in _single(which) if alone else _mixed(which, encodes.batch_rows):
            rows = [self.rows[which[place]] for place in places]
            run = functools.partial(
                encodes.query if alone else encodes.bulk, pooled_from=self.pooled_from
            )
            vectors, failures = encoder.isolate(run, rows)
            for no, place in enumerate(places):
                if no not in failures and vectors[no].shape == result[place].shape:
                    result[place] = vectors[no]
        return result


def token_row(tokenizer: tokenizer.Tokenizer, text: str, prompt: str) -> tokenizer.Ids:
    """A document's tokens as far as the model reads."""
    if tokenizer.limit is None:
        return tokenizer.encode(text, prompt).ids
    return tokenizer.beginning(text, prompt, tokenizer.limit).tokens.ids


def _single(which: Sequence[int]) -> list[list[int]]:
    return [[place] for place in range(len(which))]


def _mixed(which: Sequence[int], most: int) -> list[list[int]]:
    """Places in batches of unlike lengths: neighbours in the list are dealt out."""
    count = -(-len(which) // most)
    return [list(range(start, len(which), count)) for start in range(count)]
