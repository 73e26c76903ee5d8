import numpy as np
import pytest

from embedding import errors
from embedding.canaries import check
from embedding.text import chunking
from tests.integration.embedding import reference

# The canaries' bounds, since the texts include edge cases as well as natural texts.
CLOSE = 0.999
NONE = chunking.Chunking("none")


async def chunks_of(loaded, texts, how=NONE):
    prepared = await loaded.prepare(texts, how)
    return [chunk for one in prepared for chunk in one.chunks]


def cosines(one, other):
    return (one.astype(np.float64) * other.astype(np.float64)).sum(axis=1)


@pytest.mark.parametrize("name", ["minilm", "wordllama", "prompted"])
async def test_vectors_are_those_of_sentence_transformers(name, request, vectors):
    loaded = request.getfixturevalue(name)
    expected = vectors[f"{name} reference"]
    chunks = await chunks_of(loaded, reference.TEXTS)
    together = (await loaded.encode_chunks(chunks)).vectors
    alone = np.concatenate([(await loaded.encode_chunks([one])).vectors for one in chunks])
    for found in (together, alone):
        assert found.shape == expected.shape
        assert found.dtype == np.float32
        assert cosines(found, expected).min() >= CLOSE
        assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(len(found)), abs=1e-5)


@pytest.mark.parametrize("name", ["minilm", "wordllama", "prompted"])
def test_our_encoder_on_torch_gives_the_same_vectors(name, vectors):
    assert cosines(vectors[f"{name} torch"], vectors[f"{name} reference"]).min() >= 0.99999


def test_a_prompt_left_out_of_pooling_still_changes_the_vectors(vectors):
    assert cosines(vectors["minilm reference"], vectors["prompted reference"]).min() < 0.99


async def test_a_query_has_the_query_prompt(prompted, minilm):
    encoded = await prompted.encode_query("where is the harbour")
    assert encoded.vectors.shape == (1, 384)
    assert encoded.fingerprint == prompted.space.fingerprint
    without = await minilm.encode_query("where is the harbour")
    assert cosines(encoded.vectors, without.vectors)[0] < 0.99


async def test_a_query_without_a_prompt_equals_the_document(minilm):
    (chunk,) = await chunks_of(minilm, ["where is the harbour"])
    query = (await minilm.encode_query("where is the harbour")).vectors
    assert cosines(query, (await minilm.encode_chunks([chunk])).vectors)[0] > 0.9999


async def test_a_query_without_content_has_no_tokens(minilm):
    with pytest.raises(errors.NoTokens):
        await minilm.encode_query(" \n")


async def test_the_order_of_many_chunks_is_kept(minilm):
    texts = [f"{'word ' * (no * 7 % 100)}{no}" for no in range(70)]
    chunks = await chunks_of(minilm, texts)
    together = (await minilm.encode_chunks(chunks)).vectors
    for no in (0, 13, 37, 69):
        alone = (await minilm.encode_chunks([chunks[no]])).vectors
        assert cosines(alone, together[no : no + 1])[0] > 0.9999


async def test_no_chunks_return_no_vectors(minilm):
    assert (await minilm.encode_chunks([])).vectors.shape == (0, 384)


async def test_a_long_text_is_chunked_and_encoded(minilm):
    chunks = await chunks_of(minilm, ["A sentence about boats. " * 200], chunking.Chunking())
    assert len(chunks) > 3
    assert np.isfinite((await minilm.encode_chunks(chunks)).vectors).all()


async def test_texts_that_poison_their_batch_fail_alone(wordllama):
    chunks = await chunks_of(wordllama, [f"text number {no}" for no in range(40)])
    sound = (await wordllama.encode_chunks(chunks)).vectors
    for no in (3, 17):
        chunks[no] = chunking.Chunk(0, 0, 1, 1, np.array([10**6], np.int32))
    encoded = await wordllama.encode_chunks(chunks)
    assert sorted(encoded.failures) == [3, 17]
    assert "IndexError" in encoded.failures[3]
    good = [no for no in range(40) if no not in encoded.failures]
    assert np.array_equal(encoded.vectors[good], sound[good])
    assert np.isnan(encoded.vectors[[3, 17]]).all()


@pytest.mark.parametrize("name", ["minilm", "wordllama", "prompted"])
async def test_canaries_pass_in_batches_and_alone(name, request):
    loaded = request.getfixturevalue(name)
    assert loaded.reference.shape == (len(check.TEXTS), loaded.space.dimensions)
    assert (await loaded.check_canaries()).level == "quiet"
    assert (await loaded.check_canaries(check.QUICK)).level == "quiet"


async def test_canaries_of_another_model_are_refused(minilm, prompted):
    moved = check.compare(minilm.reference, await prompted.encode_canaries())
    assert moved.level == "refuse"


def test_the_build_describes_the_encoder(minilm, wordllama):
    assert minilm.build["backend"] == "openvino"
    assert minilm.build["dtype"] in ("bf16", "f32")
    assert "quiet" in minilm.build["checks"][f"openvino {minilm.dtype}"]
    assert minilm.build["versions"] == minilm.build["converted_with"]
    assert "openvino" in minilm.build["versions"]
    assert wordllama.build["backend"] == "static"
