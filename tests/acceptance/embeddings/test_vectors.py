"""Every route returns sentence-transformers' vectors, for single texts and in batches."""

import base64

import httpx
import numpy as np
import pytest

from tests.integration.embedding.reference import TEXTS

# The canaries' bounds, since the texts include edge cases as well as natural texts.
CLOSE = 0.999
MODELS = ["bundled", "prompted:document", "prompted:query"]


def openai(client: httpx.Client, model: str, texts: list[str], **fields: object) -> np.ndarray:
    body = {"model": model, "input": texts, "truncate": "end", **fields}
    data = client.post("/v1/embeddings", json=body).raise_for_status().json()["data"]
    assert [item["index"] for item in data] == list(range(len(texts)))
    return np.array([numbers(item["embedding"]) for item in data], np.float64)


def numbers(embedding: list[float] | str) -> np.ndarray:
    if isinstance(embedding, list):
        return np.array(embedding)
    return np.frombuffer(base64.b64decode(embedding), "<f4")


def openai_base64(client: httpx.Client, model: str, texts: list[str]) -> np.ndarray:
    return openai(client, model, texts, encoding_format="base64")


def openai_ids(client: httpx.Client, model: str, texts: list[str]) -> np.ndarray:
    answer = client.post("/tokenize", json=named(model, texts=texts)).raise_for_status()
    ids = [item["ids"] for item in answer.json()["items"]]
    return openai(client, model, ids, token_ids="model")


def embed(client: httpx.Client, model: str, texts: list[str]) -> np.ndarray:
    body = named(model, texts=texts, truncate="end")
    answer = client.post("/embed", json=body).raise_for_status().json()
    return np.array([item["embedding"] for item in answer["embeddings"]])


def embed_alone(client: httpx.Client, model: str, texts: list[str]) -> np.ndarray:
    bodies = [named(model, text=text, truncate="end") for text in texts]
    return np.array([client.post("/embed", json=body).raise_for_status().json() for body in bodies])


def named(model: str, **fields: object) -> dict[str, object]:
    name, _, role = model.partition(":")
    return {"model": name, **({"input_type": role} if role else {}), **fields}


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first.astype(np.float64) * second.astype(np.float64)).sum(axis=1)


@pytest.mark.parametrize("route", [openai, openai_base64, embed, embed_alone])
@pytest.mark.parametrize("model", MODELS)
def test_the_vectors_are_those_of_sentence_transformers(client, references, route, model):
    vectors = route(client, model, list(TEXTS))
    assert vectors.shape == references[model].shape
    assert cosines(vectors, references[model]).min() >= CLOSE
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(vectors)), abs=1e-5)


@pytest.mark.parametrize("model", ["bundled", "prompted:document"])
def test_token_ids_of_the_model_give_its_vectors(client, references, model):
    assert cosines(openai_ids(client, model, list(TEXTS)), references[model]).min() >= CLOSE


def test_numbers_and_base64_are_the_same_vectors(client):
    texts = list(TEXTS[:3])
    listed = openai(client, "static", texts, encoding_format="float")
    assert np.array_equal(listed.astype(np.float32), openai_base64(client, "static", texts))


def test_similarities_are_those_of_the_reference(client, references):
    expected = references["bundled"].astype(np.float64)
    body = {"texts": list(TEXTS), "truncate": "end"}
    matrix = np.array(client.post("/similarity", json=body).raise_for_status().json()["matrix"])
    assert matrix == pytest.approx(expected @ expected.T, abs=0.01)
    assert matrix.max() <= 1

    body = {"text": TEXTS[1], "model": "prompted", "input_type": "query", **body}
    scores = client.post("/similarity", json=body).raise_for_status().json()["scores"]
    query, documents = references["prompted:query"][1], references["prompted:document"]
    assert scores == pytest.approx(documents @ query, abs=0.01)


def test_many_texts_keep_their_order(client):
    texts = [f"{'word ' * (no * 7 % 100)}{no}" for no in range(200)]
    together = openai_base64(client, "static", texts)
    for no in (0, 63, 64, 101, 199):
        assert cosines(together[no : no + 1], embed_alone(client, "static", [texts[no]])) > 0.9999
