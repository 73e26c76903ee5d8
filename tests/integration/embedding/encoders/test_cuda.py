"""On a GPU: the same vectors as on the CPU, with two batches running at once."""

import asyncio

import numpy as np
import pytest

from embedding import loading
from embedding.canaries import check
from embedding.encoders import devices
from embedding.model_files import description
from tests import models

pytestmark = pytest.mark.anyio
TEXT = "The harbour master counts the boats every evening before the lamps are lit. "


# Without a device file torch isn't imported to check: that takes seconds.
needs_gpu = pytest.mark.skipif(
    devices.choose_device("auto") != "cuda", reason="torch finds no CUDA device here"
)


@pytest.fixture(scope="module")
def on_gpu(model_cache):
    described = description.describe("minilm", models.minilm_directory())
    loaded = loading.load(described, cache_dir=model_cache, device="cuda")
    yield loaded
    loaded.close()


@needs_gpu
async def test_half_precision_is_used_if_the_canaries_agree(on_gpu):
    assert on_gpu.build["device"] == "cuda"
    assert on_gpu.dtype in ("f16", "bf16")
    assert (await on_gpu.check_canaries(check.ALL)).level == "quiet"


@needs_gpu
async def test_concurrent_batches_return_each_request_its_own_vectors(on_gpu):
    texts = [f"{no} {TEXT * (no % 12)}" for no in range(600)]
    parts = [texts[start : start + 100] for start in range(0, 600, 100)]
    results = await asyncio.gather(*(on_gpu.encode_texts(part, truncate=True) for part in parts))
    for part, encoded in zip(parts, results, strict=True):
        alone = await on_gpu.encode_texts(part[7:8], truncate=True)
        assert float((encoded.vectors[7] * alone.vectors[0]).sum()) > 0.999
        assert np.isfinite(encoded.vectors).all()


@needs_gpu
async def test_queries_are_answered_during_bulk_encoding(on_gpu):
    bulk = asyncio.create_task(on_gpu.encode_texts([TEXT * 20] * 900, truncate=True))
    query = await on_gpu.encode_query("boats")
    assert query.vectors.shape == (1, 384)
    assert len((await bulk).vectors) == 900
