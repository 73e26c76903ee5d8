"""Bytes a row as PostgreSQL 18 with pgvector 0.8.5 took them for 39,000 vectors."""

import pytest

from migrations.reembed.planning import footprint

ROWS = 39_000


def test_384_dimensions_take_what_was_measured():
    size = footprint.estimate(ROWS, 384, with_hnsw=True)
    assert size.table_bytes / ROWS == pytest.approx(914 + 57, rel=0.01)
    assert size.hnsw_bytes / ROWS == pytest.approx(1171, rel=0.01)


@pytest.mark.parametrize(
    ("dimensions", "a_page"),
    [(256, 10), (384, 7), (768, 4), (1024, 3), (1536, 2), (2000, 1), (3072, 1), (4000, 0.5)],
)
def test_hnsw_packs_whole_elements_into_pages(dimensions: int, a_page: float):
    size = footprint.estimate(1000, dimensions, with_hnsw=True)
    assert size.hnsw_bytes == round(1000 * 8192 / a_page)


def test_a_vector_larger_than_a_page_is_stored_out_of_line():
    inside = footprint.estimate(1000, 3900, with_hnsw=False).table_bytes
    outside = footprint.estimate(1000, 4096, with_hnsw=False).table_bytes
    assert inside == pytest.approx(1000 * (8192 + 60))
    assert outside > 1.2 * inside


def test_the_peak_is_the_table_hnsw_and_the_wal_of_both():
    size = footprint.estimate(1000, 384, with_hnsw=True)
    assert size.wal_bytes == size.table_bytes + size.hnsw_bytes
    assert size.peak_bytes == 2 * (size.table_bytes + size.hnsw_bytes)
    assert footprint.estimate(1000, 384, with_hnsw=False).hnsw_bytes == 0
    assert footprint.estimate(0, 384, with_hnsw=True).peak_bytes == 0
