"""How a loaded model's threads handle calls that overlap, fail or are cancelled."""

import asyncio
import threading
import time

import numpy as np
import pytest

from embedding import errors, loading
from embedding.model_files import description
from embedding.text import chunking
from tests import models

TEXT = "The harbour master counts the boats every evening before the lamps are lit. "
pytestmark = pytest.mark.anyio


def cosines(one, other):
    return (one * other).sum(axis=1)


async def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_concurrent_calls_get_their_own_vectors(minilm):
    texts = [f"{no} {TEXT * (no % 9)}" for no in range(60)]
    parts = [texts[start : start + 12] for start in range(0, 60, 12)]
    found = await asyncio.gather(*(minilm.encode_texts(part, truncate=True) for part in parts))
    for part, encoded in zip(parts, found, strict=True):
        alone = await minilm.encode_texts(part[5:6], truncate=True)
        assert cosines(encoded.vectors[5:6], alone.vectors)[0] > 0.999
        assert encoded.tokens[5] == alone.tokens[0]


async def test_the_role_selects_the_prompt(prompted):
    query = await prompted.encode_texts([TEXT], role="query")
    document = await prompted.encode_texts([TEXT])
    assert query.tokens[0] == document.tokens[0]  # both prompts are two tokens
    assert cosines(query.vectors, document.vectors)[0] < 0.9999
    assert cosines(query.vectors, (await prompted.encode_query(TEXT)).vectors)[0] > 0.99999
    many = await prompted.encode_texts([TEXT] * 9, role="query")
    assert cosines(many.vectors[:1], query.vectors)[0] > 0.9999


async def test_a_long_text_is_refused_or_cut_as_requested(minilm):
    with pytest.raises(errors.TextTooLong) as caught:
        await minilm.encode_texts(["short", TEXT * 40])
    whole = await minilm.tokenize([TEXT * 40])
    assert (caught.value.index, caught.value.limit) == (1, 256)
    assert caught.value.tokens == len(whole[0].ids)
    encoded = await minilm.encode_texts(["short", TEXT * 40], truncate=True)
    assert (encoded.cut, encoded.tokens[1]) == ((False, True), 256)


async def test_a_text_without_content_is_named_by_position(minilm):
    with pytest.raises(errors.NoTokens) as caught:
        await minilm.encode_texts(["a boat", " \n "])
    assert caught.value.index == 1


async def test_token_ids_yield_the_vector_of_their_text(minilm):
    tokenized = (await minilm.tokenize([TEXT]))[0]
    by_ids = await minilm.encode_ids([tokenized.ids])
    by_text = await minilm.encode_texts([TEXT])
    assert cosines(by_ids.vectors, by_text.vectors)[0] > 0.99999
    assert by_ids.tokens == by_text.tokens
    words = [TEXT[start:end] for start, end in filter(None, tokenized.offsets)]
    assert "".join(words) == TEXT.replace(" ", "")


@pytest.mark.parametrize(("row", "reason"), [([101, 102], "content"), ([101, 10**9, 102], "30521")])
async def test_token_ids_of_another_tokenizer_are_refused(minilm, row, reason):
    with pytest.raises(errors.TokenIdsInvalid, match=reason) as caught:
        await minilm.encode_ids([[101, 2054, 102], row])
    assert caught.value.index == 1


async def test_work_beyond_the_queue_limit_is_refused_and_room_freed_when_done(minilm):
    capacity = minilm.status().capacity
    texts = [TEXT * 20] * (capacity // 256 + 1)
    with pytest.raises(errors.TooMuch):
        await minilm.encode_texts(texts, truncate=True)
    busy = asyncio.create_task(minilm.encode_texts(texts[:-2], truncate=True))
    await until(lambda: minilm.status().waiting_tokens > capacity * 0.9)
    with pytest.raises(errors.Overloaded) as caught:
        await minilm.encode_texts(texts[:8], truncate=True)
    assert caught.value.retry_after_s >= 1
    # Queries are short and go first: one that fits is answered while the rest waits.
    query = await minilm.encode_query("boats")
    assert query.vectors.shape == (1, 384)
    assert not busy.done()
    busy.cancel()
    await asyncio.wait({busy})
    # It is taken out of the queue, so later calls don't wait for it.
    await minilm.encode_texts(texts[:8], truncate=True)
    assert minilm.status().waiting_tokens == 0


async def test_writes_wait_for_room_in_the_queue_instead_of_failing(minilm):
    capacity = minilm.status().capacity
    texts = [TEXT * 20] * (capacity // 256)
    busy = asyncio.create_task(minilm.encode_texts(texts, truncate=True))
    await until(lambda: minilm.status().waiting_tokens > capacity * 0.99)
    chunks = [
        chunk
        for prepared in await minilm.prepare([TEXT * 20] * 8, chunking.Chunking())
        if isinstance(prepared, chunking.Prepared)
        for chunk in prepared.chunks
    ]
    writes = [asyncio.create_task(minilm.encode_chunks(chunks[no::4])) for no in range(4)]
    await until(lambda: not busy.done() and minilm.status().waiting_tokens > capacity)
    with pytest.raises(errors.Overloaded):
        minilm.require_room()
    assert not any(one.done() for one in writes)
    # Waiting writes keep no query out.
    assert (await minilm.encode_query("boats")).vectors.shape == (1, 384)
    busy.cancel()
    for encoded in await asyncio.gather(*writes):
        assert np.isfinite(encoded.vectors).all()
    minilm.require_room()


async def test_more_chunks_than_the_queue_holds_are_encoded_in_parts(wordllama, model_cache):
    described = wordllama.description
    small = loading.load(described, cache_dir=model_cache, device="cpu", max_queued_tokens=64)
    prepared = await small.prepare([f"{TEXT} {no}" for no in range(30)], chunking.Chunking())
    chunks = [
        chunk for one in prepared if isinstance(one, chunking.Prepared) for chunk in one.chunks
    ]
    chunks[7] = chunking.Chunk(0, 0, 1, 1, np.array([10**6], np.int32))
    found = await small.encode_chunks(chunks)
    expected = await wordllama.encode_chunks(chunks)
    assert list(found.failures) == list(expected.failures) == [7]
    assert np.array_equal(found.vectors, expected.vectors, equal_nan=True)
    assert found.tokens == expected.tokens
    with pytest.raises(errors.TooMuch):
        await small.encode_texts([TEXT * 20])
    small.close()


async def test_a_query_without_a_vector_is_distinguished_from_a_broken_encoder(wordllama):
    table = wordllama._encoder._table
    token = wordllama.tokenizer.encode("boat").ids[0]
    kept = table[token].copy()
    table[token] = 0
    try:
        with pytest.raises(errors.TextFailed, match="length zero"):
            await wordllama.encode_query("boat")
    finally:
        table[token] = kept


async def test_closing_does_not_wait_for_a_running_check(model_cache):
    described = description.describe("minilm", models.minilm_directory())
    loaded = loading.load(described, cache_dir=model_cache, device="cpu")
    checks = [asyncio.create_task(loaded.encode_canaries(alone=alone)) for alone in (False, True)]
    await until(lambda: any(one.name.startswith("asyncio") for one in threading.enumerate()))
    await asyncio.to_thread(loaded.close)
    for found in await asyncio.gather(*checks):
        assert np.isnan(found).any()
