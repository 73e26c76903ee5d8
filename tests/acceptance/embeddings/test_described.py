"""The embedding routes behave as the OpenAPI document says."""

from typing import Any

import msgspec
import pytest

from api.schemas import embeddings as schemas
from tests.acceptance.embeddings.conftest import MAX_BODY, POISON

ANSWERS: dict[str, Any] = {
    "/v1/embeddings": schemas.EmbeddingList,
    "/embed": list[float] | schemas.EmbeddedTexts,
    "/tokenize": schemas.TokenizedTexts,
    "/similarity": None,
}
# They occur when encoders die, under overload, or when connections break.
ELSEWHERE = {"/v1/embeddings": {"429", "503"}}


def bodies(path: str) -> list[dict[str, Any]]:
    """One request for each status that a single request can cause."""
    if path == "/v1/embeddings":
        good: dict[str, Any] = {"model": "static", "input": "a boat"}
        wrong = [{**good, "model": "nothing"}, {**good, "input": POISON}, {**good, "input": ""}]
    else:
        good = {"texts": ["a boat"], "model": "static"}
        wrong = [{**good, "model": "nothing"}]
    expecting = [] if path == "/tokenize" else [{**good, "expect_space": "fp1:0"}]
    return [good, *wrong, *expecting]


@pytest.mark.parametrize("path", ANSWERS)
def test_each_documented_status_occurs(client, described, path):
    met = [client.post(path, json=body) for body in bodies(path)]
    met.append(client.post(path, content=b" " * (MAX_BODY + 1)))
    met.append(client.post(path, content=b"{}", headers={"Content-Type": "text/plain"}))
    statuses = {str(answer.status_code) for answer in met}
    responses = described[path]["post"]["responses"]
    assert set(responses) - statuses == ELSEWHERE.get(path, {"400", "429", "503"})
    for answer in met:
        (kind,) = responses[str(answer.status_code)]["content"]
        assert answer.headers["content-type"] == kind


@pytest.mark.parametrize("path", ANSWERS)
def test_the_examples_get_the_documented_answers(client, described, path):
    content = described[path]["post"]["requestBody"]["content"]["application/json"]
    assert len(content["examples"]) > 1
    for example in content["examples"].values():
        answer = client.post(path, json=example["value"]).raise_for_status()
        scored = schemas.Scores if "text" in example["value"] else schemas.Matrix
        msgspec.json.decode(answer.content, type=ANSWERS[path] or scored)
        for header in described[path]["post"]["responses"]["200"]["headers"]:
            assert header in answer.headers


def test_every_route_has_a_tag(described):
    tags = {
        (path, method): operation.get("tags")
        for path, operations in described.items()
        for method, operation in operations.items()
    }
    assert all(route_tags and route_tags != ["default"] for route_tags in tags.values()), tags
