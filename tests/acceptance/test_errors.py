"""Every error of every route is a problem that explains it; bad input never causes a 5xx."""

import itertools
import json
import re
import socket

import httpx
import pytest

from api import app
from api.http import openai_errors
from tests import databases, services
from tests.acceptance import truths

NDJSON = {"Content-Type": "application/x-ndjson"}
UNKNOWN = "/v1/collections/nothing-here"


def routes() -> list[tuple[str, str]]:
    """(method, path) of every handler, with Litestar's path format."""
    handlers = set()
    for handler in app.ROUTES:
        for method, path in itertools.product(
            getattr(handler, "http_methods", ()), getattr(handler, "paths", ())
        ):
            handlers.add((str(method), path))
    assert len(handlers) > 15
    return sorted(handlers)


@pytest.mark.parametrize(("method", "path"), routes())
def test_every_route_answers_nonsense_with_a_problem(client: httpx.Client, method: str, path: str):
    filled = re.sub(r"\{\w+:\w+\}", "no%20such", path)
    nonsense = "limit=x&cursor=%ff&results=maybe&exact=perhaps"
    answer = client.request(method, f"{filled}?{nonsense}", content=b"\xff{]")
    if answer.status_code >= 400:
        if path == openai_errors.PATH:
            assert answer.json()["error"]["message"]
        else:
            truths.is_problem(answer)
        assert answer.status_code < 500
    else:
        # Only a route without input may ignore it.
        assert method == "GET"
        assert "{" not in path


@pytest.mark.parametrize("method", ["PUT", "TRACE", "PATCH"])
def test_a_wrong_method(client: httpx.Client, method: str):
    truths.is_problem(client.request(method, "/v1/search"), 405)


def test_an_unknown_path(client: httpx.Client):
    for path in ("/nothing", "/v1", "/v1/collections/a/b/c/d", "/v1/documents/a/b"):
        truths.is_problem(client.get(path), 404)


def test_unknown_collection(client: httpx.Client):
    answers = [
        client.get(UNKNOWN),
        client.delete(UNKNOWN),
        client.get(f"{UNKNOWN}/documents"),
        client.get(f"{UNKNOWN}/documents/a"),
        client.get(f"{UNKNOWN}/documents/a/similar"),
        client.delete(f"{UNKNOWN}/documents/a"),
        client.patch(f"{UNKNOWN}/documents/a", json={"metadata": {}}),
        client.get(f"{UNKNOWN}/search", params={"q": "a"}),
        client.post(f"{UNKNOWN}/search", json={"q": "a"}),
        client.post(f"{UNKNOWN}/documents", json={"documents": [{"text": "a"}]}),
        client.post(f"{UNKNOWN}/documents", content=b'{"text":"a"}', headers=NDJSON),
        client.request("DELETE", f"{UNKNOWN}/documents", json={"filter": {"a": 1}}),
    ]
    for answer in answers:
        assert truths.is_problem(answer, 404)["type"] == "/problems/unknown-collection"


NESTED = b'{"a":' * 100_000 + b"1" + b"}" * 100_000

BAD_DOCUMENTS: list[tuple[bytes, str]] = [
    (b"", "body"),
    (b"null", "body"),
    (b"[]", "body"),
    (b"{}", "documents"),
    (b'{"documents":[]}', "documents"),
    (b'{"documents":{}}', "documents"),
    (b'{"documents":[{"text":"a"}],"more":1}', "more"),
    (b'{"documents":[{"text":"a","more":1}]}', "documents[0]"),
    (b'{"documents":[{}]}', "documents[0]"),
    (b'{"documents":[null]}', "documents[0]"),
    (b'{"documents":[{"text":null}]}', "documents[0].text"),
    (b'{"documents":[{"text":5}]}', "documents[0].text"),
    (b'{"documents":[{"text":""}]}', "documents[0].text"),
    (b'{"documents":[{"text":" \\n\\t "}]}', "documents[0].text"),
    (b'{"documents":[{"text":"a\\u0000b"}]}', "documents[0].text"),
    (b'{"documents":[{"text":"\\ud800"}]}', "surrogate"),
    (b'{"documents":[{"text":"\\udc00\\ud800"}]}', "surrogate"),
    (b'{"documents":[{"text":"a","id":5}]}', "documents[0].id"),
    (b'{"documents":[{"text":"a","id":""}]}', "documents[0].id"),
    (b'{"documents":[{"text":"a","id":"a\\u0000"}]}', "documents[0].id"),
    (b'{"documents":[{"text":"a","id":"\\ud800"}]}', "surrogate"),
    (b'{"documents":[{"text":"a","id":"' + b"\xc3\xbc" * 257 + b'"}]}', "documents[0].id"),
    (b'{"documents":[{"text":"a","metadata":5}]}', "documents[0].metadata"),
    (b'{"documents":[{"text":"a","metadata":null}]}', "documents[0].metadata"),
    (b'{"documents":[{"text":"a","metadata":{"k":"\\u0000"}}]}', "documents[0].metadata"),
    (b'{"documents":[{"text":"a","metadata":{"\\u0000":1}}]}', "documents[0].metadata"),
    (b'{"documents":[{"text":"a","metadata":{"k":["\\ud800"]}}]}', "surrogate"),
    (b'{"documents":[{"text":"a","metadata":{"n":1e400}}]}', "documents[0]"),
    (b'{"documents":[{"text":"a","metadata":{"n":NaN}}]}', "body"),
    (b'{"documents":[{"text":"a","metadata":{"d":%s}}]}' % NESTED, "nested"),
    (b'{"documents":[%s]}' % (b"[" * 100_000), "nested"),
    (b'{"documents":[{"text":"a"}', "body"),
    (b'{"documents":[{"text":"\xff"}]}', "documents"),
    (b'{"documents":[' + b'{"text":"a"},' * 1000 + b'{"text":"a"}]}', "documents"),
]


@pytest.mark.parametrize(("body", "field"), BAD_DOCUMENTS, ids=lambda value: str(value)[:60])
def test_bad_documents(client: httpx.Client, collection: str, body: bytes, field: str):
    where = f"/v1/collections/{collection}/documents"
    problem = truths.is_problem(client.post(where, content=body), 422)
    message = problem["detail"] + " ".join(error["field"] for error in problem.get("errors", []))
    assert field in message
    assert client.get(f"/v1/collections/{collection}").json()["documents"] == 0


@pytest.mark.parametrize(
    "number", ["9" * 400, "-" + "9" * 60, "1e308", "1" + "0" * 5000, "0.1e-400", "-0.0"]
)
def test_numbers_of_any_size_are_kept_or_refused(
    client: httpx.Client, collection: str, number: str
):
    where = f"/v1/collections/{collection}/documents"
    body = b'{"documents":[{"id":"a","text":"a boat","metadata":{"n":%s}}]}' % number.encode()
    answer = client.post(where, content=body)
    if answer.status_code != 200:
        truths.is_problem(answer, 422)
        return
    stored = client.get(f"{where}/a")
    assert stored.status_code == 200
    stored_number, sent = stored.json()["metadata"]["n"], json.loads(number)
    assert stored_number == sent or float(stored_number) == sent
    query = {"q": "boat", "filter": {"n": {"$lte": 1e300}}}
    answer = client.post(f"/v1/collections/{collection}/search", json=query)
    assert answer.status_code == 200, answer.text


BAD_SEARCHES: list[bytes] = [
    b"{}",
    b'{"q":""}',
    b'{"q":"  "}',
    b'{"q":null}',
    b'{"q":5}',
    b'{"q":"a\\u0000"}',
    b'{"q":"\\ud800"}',
    b'{"q":"a","limit":0}',
    b'{"q":"a","limit":1001}',
    b'{"q":"a","limit":-1}',
    b'{"q":"a","limit":1.5}',
    b'{"q":"a","limit":"10"}',
    b'{"q":"a","limit":99999999999999999999999}',
    b'{"q":"a","exact":"yes"}',
    b'{"q":"a","expect":"x"}',
    b'{"q":"a","filter":' + NESTED + b"}",
    b'{"q":"a","filter":{"n":1e400}}',
    b'{"q":"a","filter":{"n":{"$in":["\\ud800"]}}}',
]


@pytest.mark.parametrize("body", BAD_SEARCHES, ids=lambda value: str(value)[:40])
def test_bad_searches(client: httpx.Client, collection: str, body: bytes):
    problem = truths.is_problem(
        client.post(f"/v1/collections/{collection}/search", content=body), 422
    )
    assert problem["errors"]


def test_an_existing_collection_with_other_properties(client: httpx.Client, collection: str):
    same = client.post("/v1/collections", json={"name": collection})
    assert same.status_code == 200
    other = {"name": collection, "chunking": {"strategy": "none"}}
    problem = truths.is_problem(client.post("/v1/collections", json=other), 409)
    assert problem["type"] == "/problems/collection-exists"


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x"]
)
def test_wrong_content_types(client: httpx.Client, collection: str, kind: str):
    where = f"/v1/collections/{collection}"
    for path in (f"{where}/documents", f"{where}/search", "/v1/collections"):
        answer = client.post(path, content=b"{}", headers={"Content-Type": kind})
        truths.is_problem(answer, 415)


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
def test_compressed_bodies(client: httpx.Client, collection: str, kind: str):
    headers = {"Content-Type": kind, "Content-Encoding": "gzip"}
    where = f"/v1/collections/{collection}/documents"
    truths.is_problem(client.post(where, content=b"\x1f\x8b", headers=headers), 415)


@pytest.fixture(scope="module")
def small(database_server, template_database, model_cache, static_model):
    """A service that accepts only short bodies; its database needs no other model."""
    with (
        databases.fresh(database_server, template=template_database) as url,
        databases.open_directory() as folder,
        services.serving(
            folder / "data",
            model_cache,
            database_url=url,
            model=static_model,
            max_body_bytes=5000,
        ) as service,
    ):
        yield service


def chunked(content: bytes):
    for start in range(0, len(content), 1000):
        yield content[start : start + 1000]


def test_bodies_over_the_limit(small: services.Service):
    body = json.dumps({"documents": [{"text": "word " * 2000}]}).encode()
    with small.client() as client:
        for content in (body, chunked(body)):
            problem = truths.is_problem(client.post("/v1/documents", content=content), 413)
            assert "5,000" in problem["detail"]
        for path in ("/v1/search", "/v1/collections"):
            truths.is_problem(client.post(path, content=body), 413)
        assert client.get("/healthz").is_success


@pytest.mark.parametrize("length", ["x", "-1", "9" * 40, "5, 5"])
def test_an_invalid_content_length(small: services.Service, length: str):
    with socket.create_connection(("127.0.0.1", small.port), timeout=20) as sock:
        head = f"POST /v1/documents HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        sock.sendall(head.encode())
        status = sock.recv(4096).split(b" ")[1:2]
    assert not status or status[0].startswith(b"4")
    assert "request_failed" not in small.output()
