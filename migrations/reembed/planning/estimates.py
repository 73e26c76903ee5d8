"""Estimates for a whole collection from a sample of it, with the sampling error."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from embedding.errors import NoTokens
from embedding.text.chunking import Chunking, Prepared

_MIN_BUCKET = 32
# In standard errors, either way: 95 of 100 samples lie within.
_MARGIN = 2.0
# A rate that was measured fewer than three times may be off by this factor.
_UNCERTAINTY = 1.5
_CERTAIN_AFTER = 3
# The more rows HNSW has, the more each costs: with 300 to 39,000 rows of 384 dimensions, 0.29 to
# 0.91 ms to build and 1.5 to 5.2 ms to insert: about the fourth root. Above that, not measured.
_HNSW_GROWTH = 0.25
_HNSW_GROWS_UNTIL = 50_000


@dataclass(frozen=True)
class DocumentEstimate:
    """One document as it would be embedded: its number of chunks by `bucket` of their length.

    `size` in bytes. A text without a token that carries content has no chunks.
    """

    size: int
    by_bucket: Mapping[int, float]
    tokens: float

    @property
    def chunks(self) -> float:
        return sum(self.by_bucket.values())


@dataclass(frozen=True)
class Population:
    """All documents of a collection; `sizes` in bytes of many of them, perhaps of all."""

    documents: int
    sizes: Sequence[int]


@dataclass(frozen=True)
class Total:
    """An estimate over all documents; `error` is one standard error."""

    value: float
    error: float


@dataclass(frozen=True)
class ChunkRate:
    """Chunks per second of up to `up_to` tokens; `tokens` is their mean length."""

    up_to: int
    tokens: float
    likely: float
    low: float
    high: float


@dataclass(frozen=True)
class Duration:
    """Estimated seconds."""

    low: float
    likely: float
    high: float

    @classmethod
    def overlapping(cls, seconds: float) -> "Duration":
        """For work that was timed once and may run in parallel with other work."""
        return cls(0.0, seconds, _UNCERTAINTY * seconds)

    def __add__(self, other: "Duration") -> "Duration":
        return Duration(self.low + other.low, self.likely + other.likely, self.high + other.high)


def bucket(tokens: float) -> int:
    """The next power of two, at least 32."""
    return max(_MIN_BUCKET, 1 << math.ceil(math.log2(max(1.0, tokens))))


def estimate_document(
    prepared: Prepared | NoTokens, beginning: str, size: int, chunking: Chunking
) -> DocumentEstimate:
    """`prepared` is the `beginning` of a text of `size` bytes; the rest is taken to be like it."""
    if isinstance(prepared, NoTokens):
        return DocumentEstimate(size, {}, 0.0)
    lengths = [float(chunk.token_count) for chunk in prepared.chunks]
    scale = size / max(1, len(beginning.encode()))
    if scale <= 1:
        return _document(size, lengths)
    if len(lengths) > 1:
        # The last chunk was cut off where reading ended, so its length is not representative.
        chars_read = prepared.chunks[-1].char_start
        return _document(size, lengths[:-1], scale * len(beginning) / chars_read)
    whole = scale * lengths[0]
    if chunking.size is None or whole <= chunking.size:
        return _document(size, [whole])
    return _document(
        size, [chunking.size], 1.0 if chunking.strategy == "none" else whole / chunking.size
    )


def _document(size: int, lengths: Sequence[float], scale: float = 1.0) -> DocumentEstimate:
    by_bucket: dict[int, float] = {}
    for length in lengths:
        by_bucket[bucket(length)] = by_bucket.get(bucket(length), 0.0) + scale
    return DocumentEstimate(size, by_bucket, scale * sum(lengths))


def estimate_total(values: Sequence[float], sizes: Sequence[int], population: Population) -> Total:
    """The regression estimator: the sample's mean, corrected for how its sizes differ from all.

    Cochran, Sampling Techniques, chapter 7. Exact if everything was sampled.
    """
    y, x = np.asarray(values, np.float64), np.asarray(sizes, np.float64)
    all_x = np.asarray(population.sizes, np.float64)
    n, documents = len(y), population.documents
    if not n:
        return Total(0.0, 0.0)
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread if spread else 0.0
    mean = max(0.0, float(y.mean()) + slope * (float(all_x.mean()) - float(x.mean())))
    residuals = y - y.mean() - slope * (x - x.mean())
    variance = float((residuals**2).sum()) / max(1, n - 2) / n * _unsampled(n, documents)
    variance += slope**2 * float(all_x.var()) / len(all_x) * _unsampled(len(all_x), documents)
    return Total(documents * mean, documents * math.sqrt(variance))


def _unsampled(n: int, documents: int) -> float:
    return max(0.0, 1 - n / documents)


def estimate_rate(up_to: int, tokens: float, measured: Sequence[float]) -> ChunkRate:
    """The rate of a bucket, from chunks per second measured several times."""
    low, high = min(measured), max(measured)
    if len(measured) < _CERTAIN_AFTER:
        low, high = low / _UNCERTAINTY, high * _UNCERTAINTY
    return ChunkRate(up_to, tokens, float(np.median(measured)), low, high)


def encoding_time(document: DocumentEstimate, rates: Mapping[int, ChunkRate]) -> Duration:
    """Seconds to encode one document."""
    durations = [_chunk_time(count, up_to, rates) for up_to, count in document.by_bucket.items()]
    return sum(durations, Duration(0.0, 0.0, 0.0))


def _chunk_time(count: float, up_to: int, rates: Mapping[int, ChunkRate]) -> Duration:
    rate, scale = rates.get(up_to), 1.0
    if rate is None:  # take the nearest bucket's tokens per second
        rate = min(rates.values(), key=lambda rate: abs(math.log2(rate.up_to / up_to)))
        scale = up_to / rate.up_to
    return Duration(*(scale * count / value for value in (rate.high, rate.likely, rate.low)))


def total_time(
    durations: Sequence[Duration], sizes: Sequence[int], population: Population
) -> Duration:
    """Seconds for all documents, from those of each document in the sample.

    The sampling error and the spread of the rates are independent, so their squares add up.
    """
    total = estimate_total([duration.likely for duration in durations], sizes, population)
    likely = sum(duration.likely for duration in durations)
    if not likely or not total.value:
        return Duration(0.0, 0.0, 0.0)
    sampled = _MARGIN * total.error / total.value
    fast = sum(duration.low for duration in durations) / likely
    slow = sum(duration.high for duration in durations) / likely
    return Duration(
        total.value * math.exp(-math.hypot(math.log(fast), math.log1p(sampled))),
        total.value,
        total.value * math.exp(math.hypot(math.log(slow), math.log1p(sampled))),
    )


def scale_hnsw_cost(seconds: float, *, rows: int, to: float) -> float:
    """The cost of a row in an HNSW index of `to` rows, if it is `seconds` in one of `rows`."""
    return seconds * math.pow(max(1.0, min(to, _HNSW_GROWS_UNTIL) / rows), _HNSW_GROWTH)
