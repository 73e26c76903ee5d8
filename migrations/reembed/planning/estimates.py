"""From a sample of documents to all of them, with the error that a sample makes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from embedding.errors import NoTokens
from embedding.text.chunking import Chunking, Prepared

_LEAST_BUCKET = 32
# Both ways of a standard error: 95 of 100 samples lie within.
_ERRORS = 2.0
# A rate that was seen less than three times may be this factor off.
_UNSURE = 1.5
_SURE_AFTER = 3
# HNSW costs more a row the more rows there are: 300 to 39,000 rows of 384 took 0.29 to 0.91 ms
# each to build and 1.5 to 5.2 to insert, about the fourth root. Further on nothing was measured.
_HNSW_GROWTH = 0.25
_HNSW_GROWS_UNTIL = 50_000


@dataclass(frozen=True)
class DocumentEstimate:
    """One document as it would be embedded; `by_bucket`: its chunks by their greatest length.

    `size` in bytes; none of a text without a token that carries content.
    """

    size: int
    by_bucket: Mapping[int, float]
    tokens: float

    @property
    def chunks(self) -> float:
        return sum(self.by_bucket.values())


@dataclass(frozen=True)
class Population:
    """All documents; `sizes` in bytes of many of them, if not of all."""

    documents: int
    sizes: Sequence[int]


@dataclass(frozen=True)
class Total:
    """Over all documents; `error` is one standard error."""

    value: float
    error: float


@dataclass(frozen=True)
class Rate:
    """Chunks a second of up to so many tokens, `tokens` on average; `low` and `high` were seen."""

    up_to: int
    tokens: float
    likely: float
    low: float
    high: float


@dataclass(frozen=True)
class Duration:
    low: float
    likely: float
    high: float

    @classmethod
    def overlapping(cls, seconds: float) -> "Duration":
        """Of work that was timed once and may be hidden behind other work."""
        return cls(0.0, seconds, _UNSURE * seconds)

    def __add__(self, other: "Duration") -> "Duration":
        return Duration(self.low + other.low, self.likely + other.likely, self.high + other.high)


def bucket(tokens: float) -> int:
    """32, or the power of two that is no less."""
    return max(_LEAST_BUCKET, 1 << math.ceil(math.log2(max(1.0, tokens))))


def estimate_document(
    prepared: Prepared | NoTokens, beginning: str, size: int, cutting: Chunking
) -> DocumentEstimate:
    """`prepared` is of the `beginning` of a text of `size` bytes; the rest goes on like it."""
    if isinstance(prepared, NoTokens):
        return DocumentEstimate(size, {}, 0.0)
    lengths = [float(chunk.token_count) for chunk in prepared.chunks]
    more = size / max(1, len(beginning.encode()))
    if more <= 1:
        return _counted(size, lengths)
    if len(lengths) > 1:
        # The last chunk was cut off where reading ended: it says nothing of the others.
        read = prepared.chunks[-1].char_start
        return _counted(size, lengths[:-1], more * len(beginning) / read)
    whole = more * lengths[0]
    if cutting.size is None or whole <= cutting.size:
        return _counted(size, [whole])
    return _counted(
        size, [cutting.size], 1.0 if cutting.strategy == "none" else whole / cutting.size
    )


def _counted(size: int, lengths: Sequence[float], times: float = 1.0) -> DocumentEstimate:
    by_bucket: dict[int, float] = {}
    for length in lengths:
        by_bucket[bucket(length)] = by_bucket.get(bucket(length), 0.0) + times
    return DocumentEstimate(size, by_bucket, times * sum(lengths))


def estimate_total(values: Sequence[float], sizes: Sequence[int], population: Population) -> Total:
    """The regression estimator: the sample's mean, put right by how its sizes differ from all.

    Cochran, Sampling Techniques, chapter 7; exact where everything was sampled.
    """
    y, x, known = (np.asarray(one, np.float64) for one in (values, sizes, population.sizes))
    n, documents = len(y), population.documents
    if not n:
        return Total(0.0, 0.0)
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread if spread else 0.0
    mean = max(0.0, float(y.mean()) + slope * (float(known.mean()) - float(x.mean())))
    rest = y - y.mean() - slope * (x - x.mean())
    variance = float((rest**2).sum()) / max(1, n - 2) / n * _unsampled(n, documents)
    variance += slope**2 * float(known.var()) / len(known) * _unsampled(len(known), documents)
    return Total(documents * mean, documents * math.sqrt(variance))


def _unsampled(n: int, documents: int) -> float:
    return max(0.0, 1 - n / documents)


def estimate_rate(up_to: int, tokens: float, seen: Sequence[float]) -> Rate:
    """Of a bucket, from the chunks a second of each round."""
    low, high = min(seen), max(seen)
    if len(seen) < _SURE_AFTER:
        low, high = low / _UNSURE, high * _UNSURE
    return Rate(up_to, tokens, float(np.median(seen)), low, high)


def encoding_time(document: DocumentEstimate, rates: Mapping[int, Rate]) -> Duration:
    """Seconds of one document."""
    spans = [_chunks(count, up_to, rates) for up_to, count in document.by_bucket.items()]
    return sum(spans, Duration(0.0, 0.0, 0.0))


def _chunks(count: float, up_to: int, rates: Mapping[int, Rate]) -> Duration:
    known = rates.get(up_to)
    times = 1.0
    if known is None:  # by the nearest, at as many tokens a second
        known = min(rates.values(), key=lambda one: abs(math.log2(one.up_to / up_to)))
        times = up_to / known.up_to
    return Duration(*(times * count / one for one in (known.high, known.likely, known.low)))


def total_time(spans: Sequence[Duration], sizes: Sequence[int], population: Population) -> Duration:
    """Seconds of all documents from those of each in the sample.

    The sample's error and the spread of the rates are independent, so their squares add up.
    """
    found = estimate_total([span.likely for span in spans], sizes, population)
    likely = sum(span.likely for span in spans)
    if not likely or not found.value:
        return Duration(0.0, 0.0, 0.0)
    sampled = _ERRORS * found.error / found.value
    fast = sum(span.low for span in spans) / likely
    slow = sum(span.high for span in spans) / likely
    return Duration(
        found.value * math.exp(-math.hypot(math.log(fast), math.log1p(sampled))),
        found.value,
        found.value * math.exp(math.hypot(math.log(slow), math.log1p(sampled))),
    )


def scale_hnsw_cost(seconds: float, *, rows: int, to: float) -> float:
    """What a row costs with HNSW over `to` rows, if it costs `seconds` over `rows`."""
    return seconds * math.pow(max(1.0, min(to, _HNSW_GROWS_UNTIL) / rows), _HNSW_GROWTH)
