"""Compares an encoder's vectors of the canaries with a space's reference vectors."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from embedding.canaries import texts
from embedding.encoders import encoder as encoding
from embedding.model_files import description
from embedding.text import tokenizer as text_tokenizer

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
    """The worst cosines (0 for NaN, 1 if none was compared) and the texts whose vectors moved."""

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

    A reference of length zero (a text of which the model reads nothing) is skipped.
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
    moved.sort(key=_cosine)
    return CanaryReport(worst["natural"], worst["edge"], _level(**worst), tuple(moved))


def combine(first: CanaryReport, second: CanaryReport) -> CanaryReport:
    """Two comparisons of the same canaries in one report, with the worse value of each."""
    cosines = dict(first.moved)
    for text, cosine in second.moved:
        cosines[text] = min(cosine, cosines.get(text, 1.0))
    natural = min(first.worst_natural, second.worst_natural)
    edge = min(first.worst_edge, second.worst_edge)
    moved = tuple(sorted(cosines.items(), key=_cosine))
    return CanaryReport(natural, edge, _level(natural, edge), moved)


def _cosine(moved: tuple[str, float]) -> float:
    return moved[1]


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
        tokenizer: text_tokenizer.Tokenizer,
        model: description.ModelDescription,
        reference: encoding.Vectors,
    ) -> None:
        self.reference = reference
        prompt = model.document_prompt.text
        self.rows = [token_row(tokenizer, canary.text, prompt) for canary in TEXTS]
        self.pooled_from = 0 if model.space.include_prompt else tokenizer.pooled_from(prompt)

    def run(self, encoder: encoding.Encoder, which: Sequence[int] = ALL) -> CanaryReport:
        """Encode the canaries alone, as queries, and in padded batches, as documents; blocks."""
        return self.report(
            which,
            batched=self.vectors(encoder, which, alone=False),
            alone=self.vectors(encoder, which, alone=True),
        )

    def report(
        self,
        which: Sequence[int],
        *,
        batched: encoding.Vectors,
        alone: encoding.Vectors,
        reference: encoding.Vectors | None = None,
    ) -> CanaryReport:
        """Compare both ways of encoding the canaries `which` with the reference.

        `reference` has the vectors of all canaries; None: the check's own.
        """
        expected = (self.reference if reference is None else reference)[list(which)]
        return combine(compare(expected, alone, which), compare(expected, batched, which))

    def vectors(
        self, encoder: encoding.Encoder, which: Sequence[int], *, alone: bool
    ) -> encoding.Vectors:
        """In the order of `which`; NaN for texts that fail."""
        result = np.full((len(which), self.reference.shape[1]), np.nan, np.float32)
        batches = _one_by_one(which) if alone else _mixed_batches(which, encoder.batch_rows)
        encode = functools.partial(
            encoder.query if alone else encoder.bulk, pooled_from=self.pooled_from
        )
        for batch in batches:
            vectors, failures = encoding.isolate(
                encode, [self.rows[which[position]] for position in batch]
            )
            for no, position in enumerate(batch):
                if no not in failures and vectors[no].shape == result[position].shape:
                    result[position] = vectors[no]
        return result


def token_row(tokenizer: text_tokenizer.Tokenizer, text: str, prompt: str) -> text_tokenizer.Ids:
    """A document's tokens, cut at the model's limit."""
    if tokenizer.limit is None:
        return tokenizer.encode(text, prompt).ids
    return tokenizer.beginning(text, prompt, tokenizer.limit).tokens.ids


def _one_by_one(which: Sequence[int]) -> list[list[int]]:
    return [[position] for position in range(len(which))]


def _mixed_batches(which: Sequence[int], max_rows: int) -> list[list[int]]:
    """Positions in `which`, in batches of unlike lengths: neighbours go to different batches."""
    count = -(-len(which) // max_rows)
    return [list(range(start, len(which), count)) for start in range(count)]
