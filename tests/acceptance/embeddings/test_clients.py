"""Common client libraries: OpenAI's, LangChain's and LlamaIndex's."""

import re
from typing import Any

import httpx
import numpy as np
import pytest

from tests import services

DOCS = services.ROOT / "docs/embeddings.md"

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
TEXTS = ["A newt is a small salamander.", "A boat lies in the harbour.", "Bread is baked."]


@pytest.fixture(scope="module")
def sdk():
    import openai

    return openai


@pytest.fixture
def openai_client(sdk, shared: services.Service):
    with sdk.OpenAI(base_url=f"{shared.url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def expected(client: httpx.Client) -> np.ndarray:
    answer = client.post("/embed", json={"texts": TEXTS}).raise_for_status().json()
    return np.array([item["embedding"] for item in answer["embeddings"]])


def test_openai(openai_client, expected):
    # By default the SDK requests base64.
    answer = openai_client.embeddings.create(model="bundled", input=TEXTS)
    assert np.array([item.embedding for item in answer.data]) == pytest.approx(expected, abs=1e-3)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > len(TEXTS)
    assert answer.space["model"] == MINILM
    as_numbers = openai_client.embeddings.create(
        model="bundled", input=TEXTS[0], encoding_format="float", dimensions=384, user="somebody"
    )
    assert as_numbers.data[0].embedding == pytest.approx(expected[0], abs=1e-3)
    query = openai_client.embeddings.create(
        model="prompted", input=TEXTS[0], extra_body={"input_type": "query"}
    )
    suffixed = openai_client.embeddings.create(model="prompted:query", input=TEXTS[0])
    assert query.data[0].embedding == pytest.approx(suffixed.data[0].embedding, abs=1e-6)


def test_openai_lists_models(openai_client, sdk):
    listed = {model.id: model for model in openai_client.models.list()}
    retrieved = openai_client.models.retrieve(MINILM)
    assert (retrieved.id, retrieved.object, retrieved.owned_by) == (MINILM, "model", "local")
    assert listed[MINILM].space == retrieved.space
    assert openai_client.models.retrieve("bundled").space == retrieved.space
    with pytest.raises(sdk.NotFoundError):
        openai_client.models.retrieve("gpt-4")


def test_openai_raises_the_right_exceptions(openai_client, sdk):
    with pytest.raises(sdk.NotFoundError) as unknown:
        openai_client.embeddings.create(model="text-embedding-3-small", input="a")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(sdk.BadRequestError) as empty:
        openai_client.embeddings.create(model="bundled", input="")
    assert (empty.value.param, empty.value.type) == ("input", "invalid_request_error")
    with pytest.raises(sdk.BadRequestError) as long:
        openai_client.embeddings.create(model="bundled", input="boat " * 300)
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(sdk.ConflictError):
        openai_client.embeddings.create(
            model="bundled", input="a", extra_body={"expect_space": "fp1:0"}
        )


def test_langchain(shared: services.Service, sdk, expected):
    from langchain_openai import OpenAIEmbeddings

    options: dict[str, Any] = {"base_url": f"{shared.url}/v1", "api_key": "none", "max_retries": 0}
    embeddings = OpenAIEmbeddings(model="bundled", check_embedding_ctx_length=False, **options)
    assert np.array(embeddings.embed_documents(TEXTS)) == pytest.approx(expected, abs=1e-3)
    assert embeddings.embed_query(TEXTS[0]) == pytest.approx(expected[0], abs=1e-3)
    # With the check on it sends ids of OpenAI's tokenizer.
    with pytest.raises(sdk.BadRequestError, match="check_embedding_ctx_length=False"):
        embeddings.client.create(model="bundled", input=[[64, 3, 1], [500]])


def test_llama_index(shared: services.Service, expected):
    from llama_index.embeddings.openai import OpenAIEmbedding

    options: dict[str, Any] = {"api_base": f"{shared.url}/v1", "api_key": "none", "max_retries": 0}
    embedding = OpenAIEmbedding(model_name="bundled", **options)
    vectors = embedding.get_text_embedding_batch(TEXTS)
    assert np.array(vectors) == pytest.approx(expected, abs=1e-3)
    assert embedding.get_query_embedding(TEXTS[0]) == pytest.approx(expected[0], abs=1e-3)
    queries = OpenAIEmbedding(model_name="prompted:query", **options)
    documents = OpenAIEmbedding(model_name="prompted:document", **options)
    apart = np.dot(queries.get_query_embedding("boat"), documents.get_text_embedding("boat"))
    assert apart < 0.99


def test_the_snippets_of_the_docs_run(shared: services.Service):
    snippets = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(snippets) == 3
    for snippet in snippets:
        assert "http://127.0.0.1:8000" in snippet
        names: dict[str, Any] = {}
        exec(snippet.replace("http://127.0.0.1:8000", shared.url), names)
        if "queries" in names:
            assert names["documents"] is not names["queries"]
        else:
            assert names["answer"].space["id"].startswith("fp1:")
