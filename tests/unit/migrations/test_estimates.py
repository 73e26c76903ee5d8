"""Estimates from samples of collections whose totals are known."""

import numpy as np
import pytest

from embedding.errors import NoTokens
from embedding.text.chunking import Chunk, Chunking, Prepared
from migrations.reembed.planning import estimates
from migrations.reembed.planning.estimates import Duration, Population

SENTENCE = Chunking("sentence", 100, 10)


def prepared(*lengths: int, stride: int = 400) -> Prepared:
    """Chunks that start `stride` characters apart."""
    chunks = tuple(
        Chunk(no, no * stride, no * stride + 450, length, np.zeros(length, np.int32))
        for no, length in enumerate(lengths)
    )
    return Prepared(chunks, cut=False, tokens=sum(lengths), unknown_share=0.0)


@pytest.mark.parametrize(
    ("tokens", "bucket"),
    [(1, 32), (32, 32), (33, 64), (64, 64), (65, 128), (512, 512), (513, 1024)],
)
def test_buckets_are_powers_of_two_from_32(tokens: int, bucket: int):
    assert estimates.bucket(tokens) == bucket


def test_a_text_that_was_read_completely_is_counted_exactly():
    estimate = estimates.estimate_document(prepared(100, 100, 20), "x" * 1200, 1200, SENTENCE)
    assert estimate.by_bucket == {128: 2, 32: 1}
    assert (estimate.chunks, estimate.tokens) == (3, 220)


def test_bytes_are_not_mistaken_for_characters():
    estimate = estimates.estimate_document(prepared(100, 100, 20), "\u6f22" * 1200, 3600, SENTENCE)
    assert estimate.chunks == 3


def test_a_text_without_tokens_has_no_chunk():
    estimate = estimates.estimate_document(NoTokens("none"), "...", 3, SENTENCE)
    assert (estimate.chunks, estimate.tokens, estimate.by_bucket) == (0, 0, {})


def test_the_rest_of_a_long_text_is_assumed_to_be_like_its_beginning():
    """3 chunks in 1,200 characters make 300 in 120,000; the last, cut off, is not like them."""
    estimate = estimates.estimate_document(
        prepared(100, 100, 100, 20), "x" * 1300, 120_000, SENTENCE
    )
    assert estimate.chunks == pytest.approx(300)
    assert estimate.by_bucket.keys() == {128}
    assert estimate.tokens == pytest.approx(30_000)


@pytest.mark.parametrize(
    ("chunking", "chunks", "tokens"),
    [
        (Chunking("none", None, 0), 1, 1000),
        (Chunking("none", 250, 0), 1, 250),
        (Chunking("sentence", 250, 0), 4, 1000),
        (Chunking("sentence", 2000, 0), 1, 1000),
    ],
)
def test_a_long_text_whose_beginning_is_one_chunk(chunking: Chunking, chunks: int, tokens: int):
    estimate = estimates.estimate_document(prepared(100), "x" * 800, 8000, chunking)
    assert estimate.chunks == pytest.approx(chunks)
    assert estimate.tokens == pytest.approx(tokens)


def test_a_sample_of_everything_is_exact():
    values = [1.0, 2.0, 7.0]
    estimate = estimates.estimate_total(values, [10, 20, 30], Population(3, [10, 20, 30]))
    assert estimate.value == pytest.approx(10)
    assert estimate.error == 0


def test_sizes_put_a_sample_right():
    """The sample has shorter texts than the collection; chunks are as many as the size is long."""
    estimate = estimates.estimate_total(
        [1.0, 2.0, 3.0], [10, 20, 30], Population(1000, [50] * 1000)
    )
    assert estimate.value == pytest.approx(5000)


def test_nothing_sampled_is_nothing():
    assert estimates.estimate_total([], [], Population(0, [])).value == 0


@pytest.mark.parametrize("known", [2000, 20_000])
def test_the_error_is_as_large_as_estimates_of_other_samples_differ(known: int):
    rng = np.random.default_rng(1)
    sizes = rng.lognormal(5, 1.2, 20_000)
    chunks = np.maximum(1, sizes / 300) * rng.uniform(0.8, 1.2, len(sizes))
    totals = []
    for _ in range(200):
        order = rng.permutation(len(sizes))
        some = order[:300]
        totals.append(
            estimates.estimate_total(
                list(chunks[some]),
                list(sizes[some]),
                Population(len(sizes), list(sizes[order[:known]])),
            )
        )
    truth = chunks.sum()
    off = np.array([total.value - truth for total in totals])
    errors = np.array([total.error for total in totals])
    assert abs(off.mean()) < 0.01 * truth
    assert errors.mean() == pytest.approx(off.std(), rel=0.25)
    assert (np.abs(off) < 2 * errors).mean() > 0.9
    # Without the sizes the error is larger.
    plain = [chunks[rng.permutation(len(sizes))[:300]].mean() * len(sizes) for _ in range(200)]
    assert off.std() < 0.7 * np.std(plain)


def rates(**measured: list[float]) -> dict[int, estimates.ChunkRate]:
    known = {int(name[1:]): values for name, values in measured.items()}
    return {
        up_to: estimates.estimate_rate(up_to, up_to * 0.8, values)
        for up_to, values in known.items()
    }


def test_a_rate_is_as_unsure_as_its_rounds_differ():
    estimate = estimates.estimate_rate(64, 50.0, [100, 90, 120, 110])
    assert (estimate.low, estimate.likely, estimate.high) == (90, 105, 120)


def test_a_rate_of_few_rounds_is_widened():
    estimate = estimates.estimate_rate(64, 50.0, [100])
    assert estimate.low == pytest.approx(100 / 1.5)
    assert (estimate.likely, estimate.high) == (100, 150)
    assert estimates.estimate_rate(64, 50.0, [100, 110]).high == pytest.approx(165)


def test_each_chunk_takes_what_its_length_takes():
    document = estimates.estimate_document(prepared(60, 60, 20), "x" * 1200, 1200, SENTENCE)
    duration = estimates.encoding_time(document, rates(b64=[9, 10, 11], b32=[40, 50, 60]))
    assert duration.likely == pytest.approx(2 / 10 + 1 / 50)
    assert duration.low == pytest.approx(2 / 11 + 1 / 60)
    assert duration.high == pytest.approx(2 / 9 + 1 / 40)


def test_a_length_that_was_not_measured_takes_as_long_a_token_as_the_nearest():
    document = estimates.estimate_document(prepared(200), "x" * 900, 900, SENTENCE)
    duration = estimates.encoding_time(document, rates(b64=[10, 10, 10], b32=[50, 50, 50]))
    assert duration.likely == pytest.approx(4 / 10)


def test_seconds_of_a_whole_sample_are_as_unsure_as_the_rates():
    durations = [Duration(1, 2, 4)] * 10
    estimate = estimates.total_time(durations, [5] * 10, Population(10, [5] * 10))
    assert (estimate.low, estimate.likely, estimate.high) == pytest.approx((10, 20, 40))


def test_a_small_sample_is_less_sure():
    rng = np.random.default_rng(4)
    likely = rng.uniform(1, 3, 400)
    durations = [Duration(0.98 * seconds, seconds, 1.02 * seconds) for seconds in likely]
    sizes = [5] * 400
    whole = estimates.total_time(durations, sizes, Population(400, sizes))
    part = estimates.total_time(durations[:20], sizes[:20], Population(400, sizes))
    assert part.low < part.likely < part.high
    assert part.high / part.low > 1.2 * whole.high / whole.low
    assert part.low < likely.sum() < part.high


def test_nothing_takes_no_time():
    assert estimates.total_time([], [], Population(0, [])) == Duration(0, 0, 0)


def test_a_row_costs_more_in_a_larger_graph_as_far_as_that_was_measured():
    """1.5 ms at 300 rows, 5.2 at 39,000."""
    assert estimates.scale_hnsw_cost(1.5, rows=300, to=39_000) == pytest.approx(5.2, rel=0.15)
    assert estimates.scale_hnsw_cost(1.5, rows=300, to=100) == 1.5
    assert estimates.scale_hnsw_cost(1.5, rows=300, to=10**7) == estimates.scale_hnsw_cost(
        1.5, rows=300, to=50_000
    )
