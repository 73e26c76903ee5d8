"""POST /embed, /tokenize and /similarity, and what GET /v1/models says about their model."""

import httpx
import numpy as np
import pytest

from tests.acceptance import truths
from tests.acceptance.embeddings.conftest import MAX_BODY, POISON

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
LONG = "boat " * 300
ROUTES = ["/embed", "/tokenize", "/similarity"]


def headers(answer: httpx.Response) -> dict[str, str]:
    names = ("space", "model", "tokens", "truncated")
    return {name: answer.headers[f"X-Vecmark-{name}"] for name in names}


def test_one_text_is_answered_by_an_array(client):
    answer = client.post("/embed", json={"text": "a boat"})
    assert answer.headers["content-type"] == "application/json"
    vector = answer.raise_for_status().json()
    assert len(vector) == 384
    assert all(isinstance(number, float) for number in vector)
    answered = headers(answer)
    assert answered == {
        "space": answered["space"],
        "model": MINILM,
        "tokens": "4",
        "truncated": "false",
    }
    cut = client.post("/embed", json={"text": LONG, "truncate": "end"})
    assert headers(cut) == {**answered, "tokens": "256", "truncated": "true"}


def test_texts_are_answered_by_an_object(client):
    answer = client.post("/embed", json={"texts": ["a boat", LONG], "truncate": "end"})
    body = answer.raise_for_status().json()
    assert set(body) == {"space", "dimensions", "embeddings"}
    assert body["space"] == {"id": headers(answer)["space"], "model": MINILM}
    assert body["dimensions"] == 384
    assert [(item["tokens"], item["truncated"]) for item in body["embeddings"]] == [
        (4, False),
        (256, True),
    ]
    assert headers(answer)["tokens"] == "260"


def test_a_text_over_the_limit_is_refused_by_position(client):
    for body, field in (({"text": LONG}, "text"), ({"texts": ["a", LONG]}, "texts[1]")):
        problem = truths.is_problem(client.post("/embed", json=body), 422)
        assert problem["type"] == "/problems/text-too-long"
        assert problem["errors"][0]["field"] == field
        for part in (field, "302", "256", '"truncate": "end"'):
            assert part in problem["detail"]


def test_query_and_document_vectors_differ(client):
    body = {"text": "a boat", "model": "prompted"}
    query = client.post("/embed", json={**body, "input_type": "query"}).raise_for_status()
    document = client.post("/embed", json=body).raise_for_status()
    assert np.dot(query.json(), document.json()) < 0.99
    assert headers(query)["space"] == headers(document)["space"]


def test_fewer_dimensions(client, static_space):
    body = {"texts": ["a boat"], "model": "static"}
    whole = client.post("/embed", json=body).raise_for_status().json()
    short = client.post("/embed", json={**body, "dimensions": 64}).raise_for_status().json()
    expected = np.array(whole["embeddings"][0]["embedding"][:64])
    expected /= np.linalg.norm(expected)
    assert short["dimensions"] == 64
    assert short["embeddings"][0]["embedding"] == pytest.approx(expected, abs=1e-6)
    assert short["space"]["id"] not in (static_space, whole["dimensions"])
    too_few = client.post("/embed", json={"text": "a", "dimensions": 64})
    assert truths.is_problem(too_few, 422)["errors"][0]["field"] == "dimensions"


def test_tokenize_counts_tokens_like_embedding(client):
    texts = ["A boat, Äccénts and 東京 😀", "", LONG]
    request = {"texts": texts, "model": "prompted", "input_type": "query"}
    body = client.post("/tokenize", json=request).raise_for_status().json()
    assert (body["limit"], body["prompt"]) == (256, "query: ")
    for text, item in zip(texts, body["items"], strict=True):
        assert item["count"] == len(item["ids"]) == len(item["tokens"]) == len(item["offsets"])
        assert item["fits"] == (item["count"] <= 256)
        assert item["tokens"][:3] == ["[CLS]", "query", ":"]
        assert item["offsets"][:3] == [None, None, None]
        own = [tuple(span) for span in item["offsets"] if span]
        assert all(0 <= start < end <= len(text) for start, end in own)
    spans = dict(zip(body["items"][0]["tokens"], body["items"][0]["offsets"], strict=True))
    assert texts[0][slice(*spans["boat"])] == "boat"
    assert texts[0][slice(*spans["accents"])] == "Äccénts"
    embedded = client.post("/embed", json={**request, "texts": texts[:1]})
    assert headers(embedded)["tokens"] == str(body["items"][0]["count"])
    refused = client.post("/embed", json={"texts": texts[2:], "model": "prompted"})
    assert f"{body['items'][2]['count']} tokens" in refused.json()["detail"]


def test_similarity_of_one_to_many_and_of_all_pairs(client):
    texts = ["A newt lives in ponds.", "Bread is baked.", "A newt lives in ponds."]
    answer = client.post("/similarity", json={"text": "animal in a pond", "texts": texts})
    body = answer.raise_for_status().json()
    assert body["space"]["id"] == headers(answer)["space"]
    assert body["scores"][0] == pytest.approx(body["scores"][2], abs=1e-3)
    assert body["scores"][0] > body["scores"][1] + 0.2
    matrix = np.array(client.post("/similarity", json={"texts": texts}).json()["matrix"])
    assert matrix == pytest.approx(matrix.T)
    assert np.diag(matrix) == pytest.approx(np.ones(3), abs=1e-5)
    assert matrix[0, 2] == pytest.approx(1, abs=1e-3)


def test_the_size_of_a_matrix_is_limited(client):
    texts = [f"boat {no}" for no in range(513)]
    body = {"texts": texts, "model": "static"}
    problem = truths.is_problem(client.post("/similarity", json=body), 422)
    assert problem["errors"][0]["field"] == "texts"
    single = client.post("/similarity", json={"text": "a boat", **body}).raise_for_status().json()
    assert len(single["scores"]) == 513
    most = client.post("/similarity", json={**body, "texts": texts[:512]}).raise_for_status()
    assert np.array(most.json()["matrix"]).shape == (512, 512)


@pytest.mark.parametrize("route", ["/embed", "/similarity"])
def test_another_space_than_expected(client, route, static_space):
    body = {"texts": ["a boat"], "model": "static"}
    same = client.post(route, json={**body, "expect_space": static_space})
    assert same.raise_for_status().json()["space"]["id"] == static_space
    other = client.post(route, json={**body, "model": None, "expect_space": static_space})
    assert truths.is_problem(other, 409)["type"] == "/problems/space-mismatch"
    assert static_space in other.json()["detail"]


BAD = [
    ("/embed", {}, "text"),
    ("/embed", {"text": None}, "text"),
    ("/embed", {"text": "a", "texts": ["a"]}, "texts"),
    ("/embed", {"texts": []}, "texts"),
    ("/embed", {"texts": ["a"] * 2049}, "texts"),
    ("/embed", {"texts": ["a", ""]}, "texts[1]"),
    ("/embed", {"text": " "}, "text"),
    ("/embed", {"text": "\0"}, "text"),
    ("/embed", {"text": "a", "more": 1}, "more"),
    ("/embed", {"text": "a", "truncate": "start"}, "truncate"),
    ("/embed", {"text": "a", "model": "nothing"}, "model"),
    ("/embed", {"text": "a", "model": "bundled:query"}, "model"),
    ("/embed", {"text": "a", "dimensions": 0}, "dimensions"),
    ("/embed", {"texts": ["a", POISON], "model": "static"}, "texts[1]"),
    ("/tokenize", {}, "text"),
    ("/tokenize", {"text": 5}, "text"),
    ("/tokenize", {"text": "a", "input_type": "x"}, "input_type"),
    ("/similarity", {"text": "a"}, "texts"),
    ("/similarity", {"texts": ["a"], "input_type": "query"}, "input_type"),
    ("/similarity", {"text": "", "texts": ["a"]}, "text"),
    ("/similarity", {"text": LONG, "texts": ["a"]}, "text"),
    ("/similarity", {"text": "a", "texts": ["a", LONG]}, "texts[1]"),
]


@pytest.mark.parametrize(("route", "wish", "field"), BAD, ids=lambda value: str(value)[:40])
def test_bad_requests(client, route, wish, field):
    problem = truths.is_problem(client.post(route, json=wish), 422)
    message = problem["detail"] + " ".join(error["field"] for error in problem.get("errors", []))
    assert field in message


@pytest.mark.parametrize("route", ROUTES)
def test_errors_common_to_all_routes(client, route):
    truths.is_problem(client.get(route), 405)
    truths.is_problem(client.post(route, content=b"{"), 422)
    truths.is_problem(client.post(route, content=b" " * (MAX_BODY + 1)), 413)
    truths.is_problem(client.post(f"{route}?model=bundled", json={"texts": ["a"]}), 422)
    typed = {"Content-Type": "text/plain"}
    truths.is_problem(client.post(route, content=b"{}", headers=typed), 415)
    much = {"texts": ["boat " * 250] * 700, **({"text": "a"} if route == "/similarity" else {})}
    assert "at once" in truths.is_problem(client.post(route, json=much), 413)["detail"]


def test_models_say_what_identifies_them(client, static_space):
    listed = client.get("/v1/models").raise_for_status().json()
    assert {"prompted", "static", MINILM} <= set(listed["available"])
    assert listed["limits"]["texts"] == 2048
    by_space = {model["space"]: model for model in listed["data"]}
    static = by_space[static_space]
    assert static == client.get(f"/v1/models/{static_space}").raise_for_status().json()
    assert (static["matryoshka"], static["dimensions"], static["max_tokens"]) == (True, 256, None)
    assert static["state"] == "loaded"
    assert static["memory_bytes"] > 1_000_000
    assert static["queue"]["capacity_tokens"] > 0
    default = client.get("/v1/models/bundled").raise_for_status().json()
    assert default["default"]
    assert default == client.get("/v1/models/sentence-transformers%2Fall-MiniLM-L6-v2").json()
    assert "bundled" in default["aliases"]
    assert default["matryoshka"] is False
    for name in ("nothing", "a/b/c", "..%2F..", "fp1:0", "%00"):
        truths.is_problem(client.get(f"/v1/models/{name}"), 404)
