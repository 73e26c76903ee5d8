"""Invalid names, ids, cursors and queries are explained and never cause a failure."""

import json
from typing import Any

import httpx
import pytest

from tests.acceptance import truths


@pytest.mark.parametrize(
    "query",
    [
        "",
        "q=",
        "q=%20",
        "q=a%00b",
        "q=a&limit=0",
        "q=a&limit=1001",
        "q=a&limit=x",
        "q=a&exact=maybe",
    ],
)
def test_bad_queries(client: httpx.Client, collection: str, query: str):
    truths.is_problem(client.get(f"/v1/collections/{collection}/search?{query}"), 422)


@pytest.mark.parametrize(
    "query", ["q=%ff", "q=%ed%a0%80", "q=%", "q=%zz", "q=a&q=b", "q=a&limit=1e3", "q=a;b=c"]
)
def test_unusual_queries_do_not_fail(client: httpx.Client, collection: str, query: str):
    answer = client.get(f"/v1/collections/{collection}/search?{query}")
    assert answer.status_code < 500
    if not answer.is_success:
        truths.is_problem(answer)


@pytest.mark.parametrize(
    "cursor", ["x", "%00", "%ff", "!!!", "YQ", "YQ==", "AA==", "AA", "a" * 5000, "bnVsbA", ""]
)
@pytest.mark.parametrize("path", ["/v1/collections", "{}/documents"])
def test_invalid_cursors(client: httpx.Client, collection: str, path: str, cursor: str):
    where = path.format(f"/v1/collections/{collection}")
    answer = client.get(f"{where}?cursor={cursor}")
    assert answer.status_code < 500
    if not answer.is_success:
        truths.is_problem(answer, 422)


def raw(client: httpx.Client, path: bytes) -> httpx.URL:
    return httpx.URL(str(client.base_url)).copy_with(raw_path=path)


@pytest.mark.parametrize("id_", [b"%ff", b"%ed%a0%80", b"%00", b"x" * 513, b"%C3%BC" * 257])
@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
def test_bad_ids(client: httpx.Client, collection: str, method: str, id_: bytes):
    where = raw(client, b"/v1/collections/%s/documents/%s" % (collection.encode(), id_))
    body = json.dumps({"metadata": {}}) if method == "PATCH" else None
    assert (
        truths.is_problem(client.request(method, where, content=body), 422)["errors"][0]["field"]
        == "id"
    )


@pytest.mark.parametrize(
    "name", ["%", "%zz", "%ff", "%00", "a%2Fb", "..%2F..", "A", "%F0%9F%A6%86"]
)
def test_unusual_collection_names(client: httpx.Client, name: str):
    for tail in ("", "/documents", "/documents/a", "/search?q=a"):
        where = raw(client, f"/v1/collections/{name}{tail}".encode())
        answer = client.get(where)
        truths.is_problem(answer)
        assert answer.status_code in {404, 422}


@pytest.mark.parametrize(
    "name", ["", "A", "a b", "ü", "-a", "_a", "a" * 64, "a/b", "a\n", "a\0", "a.b", None, 5]
)
def test_bad_names_of_new_collections(client: httpx.Client, name: Any):
    truths.is_problem(client.post("/v1/collections", json={"name": name}), 422)


@pytest.mark.parametrize(
    "more",
    [
        {"chunking": {"strategy": "words"}},
        {"chunking": {"size": 0}},
        {"chunking": {"size": 10**9}},
        {"chunking": {"size": 10**30}},
        {"chunking": {"overlap": -1}},
        {"chunking": {"size": 64, "overlap": 64}},
        {"chunking": {"strategy": "none", "size": 5, "overlap": 9}},
        {"chunking": []},
        {"unknown": 1},
        {"model": 5},
        {"model": ""},
        {"model": "/etc"},
        {"model": "../../etc"},
        {"model": "no-such/model"},
        {"model": "no-such/model@main"},
        {"model": "a\0b"},
        {"model": "~root"},
        {"model": "x" * 100_000},
        {"model": "https://example.org/model"},
    ],
    ids=lambda value: str(value)[:50],
)
def test_bad_new_collections(client: httpx.Client, more: dict[str, Any]):
    truths.is_problem(client.post("/v1/collections", json={"name": "bad-one", **more}), 422)
    truths.is_problem(client.get("/v1/collections/bad-one"), 404)
