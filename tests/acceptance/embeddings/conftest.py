"""One service for all tests of the embedding routes: with small limits, and several models."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tokenizers

from tests import databases, models, services
from tests.integration.embedding import reference

MAX_BODY = 1_000_000
MAX_QUEUED = 100_000
# A word in none of the canaries: the static model has no vector for it.
POISON = "Wikipedia"
QUERY, DOCUMENT = "query: ", "passage: "


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that requests can name: `prompted`, which is MiniLM with prompts, and `static`."""
    folder = tmp_path_factory.mktemp("roots")
    prompts = {"query": QUERY, "document": DOCUMENT}
    models.variant(
        folder / "prompted",
        configs={
            "config_sentence_transformers.json": {"prompts": prompts},
            "1_Pooling/config.json": {"include_prompt": False},
        },
    )
    static = models.wordllama_directory(folder / "static")
    (static / "README.md").write_text("Trained with MatryoshkaLoss for 256, 128 and 64 dimensions.")
    words = tokenizers.Tokenizer.from_file(str(static / "tokenizer.json"))
    (poison,) = words.encode(POISON, add_special_tokens=False).ids
    tensors = models.load_tensors(static)
    tensors["embedding.weight"][poison] = np.nan
    models.save_tensors(static, tensors)
    return folder


@pytest.fixture(scope="session")
def shared(shared_url: str, model_cache: Path, roots: Path) -> Iterator[services.Service]:
    with (
        databases.open_directory() as folder,
        services.serving(
            folder / "data",
            model_cache,
            database_url=shared_url,
            model_roots=roots,
            max_body_bytes=MAX_BODY,
            max_queued_tokens=MAX_QUEUED,
        ) as service,
    ):
        yield service
        # Whatever clients did caused no unexpected error and logged no text.
        log = service.output()
        for unforeseen in ("request_failed", "task_died", "Traceback", "a boat", POISON):
            assert unforeseen not in log, log


@pytest.fixture(scope="session")
def described(shared: services.Service) -> dict[str, Any]:
    """The paths of the OpenAPI document."""
    with shared.client() as client:
        paths: dict[str, Any] = client.get("/docs/openapi.json").raise_for_status().json()["paths"]
    return paths


@pytest.fixture
def client(shared: services.Service, described: dict[str, Any]) -> Iterator[httpx.Client]:
    """Fails if an answer has a status that the OpenAPI document doesn't list."""

    def check(answer: httpx.Response) -> None:
        operation = described.get(answer.request.url.path, {}).get(answer.request.method.lower())
        if operation is not None:
            assert str(answer.status_code) in operation["responses"], answer.request.url

    with shared.client() as client:
        client.event_hooks["response"].append(check)
        yield client


@pytest.fixture(scope="session")
def references(model_cache: Path, roots: Path) -> reference.Vectors:
    """sentence-transformers' vectors of reference.TEXTS, with torch in fp32."""
    prompted = roots / "prompted"
    cases = (
        reference.Case("bundled", models.minilm_directory()),
        reference.Case("prompted:document", prompted, DOCUMENT),
        reference.Case("prompted:query", prompted, QUERY),
    )
    return reference.of_library(cases, model_cache)


@pytest.fixture(scope="session")
def static_space(shared: services.Service) -> str:
    """The space of the static model."""
    with shared.client() as client:
        answer = client.post("/embed", json={"text": "a boat", "model": "static"})
    return answer.raise_for_status().headers["X-Vecmark-Space"]


def openai_error(answer: httpx.Response, status: int, code: str, param: str | None) -> str:
    """Assert that it has the shape of OpenAI's errors; return the message."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param), error
    return error["message"]
