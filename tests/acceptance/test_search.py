"""Searches return each document once, nothing stale, nothing of another space, and obey filters."""

from typing import Any

import httpx
import psycopg
import pytest

from tests.acceptance import truths
from tests.acceptance.test_documents import document_path, write


def search(client: httpx.Client, collection: str, **options: Any) -> dict[str, Any]:
    answer = client.post(f"/v1/collections/{collection}/search", json={"q": "a boat", **options})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(answer: dict[str, Any]) -> list[str]:
    return [hit["id"] for hit in answer["results"]]


def test_each_document_is_returned_once_with_its_best_chunk(client: httpx.Client, collection: str):
    filler = "Kettles and lamps are sold in the market street. " * 60
    text = f"{filler} The sailing boat crossed the lake at night. {filler}"
    write(
        client, collection, {"id": "long", "text": text}, {"id": "other", "text": "A loaf of bread"}
    )
    answer = search(client, collection, q="sailing boat on a lake", limit=5)
    assert ids(answer) == ["long", "other"]
    chunk = answer["results"][0]["chunk"]
    assert chunk["text"] == text[chunk["start"] : chunk["end"]]
    assert "sailing boat" in chunk["text"]
    assert answer["complete"]


def test_a_search_widens_until_it_has_enough_documents(client: httpx.Client, collection: str):
    """One document with hundreds of near chunks must not hide other documents."""
    name = f"{collection}-small"
    chunking = {"strategy": "sentence", "size": 32, "overlap": 0}
    sent = {"name": name, "chunking": chunking}
    client.post("/v1/collections", json=sent).raise_for_status()
    crowd = " ".join(f"The boat number {no} lies on the lake." for no in range(250))
    other_documents = [{"id": f"o{no}", "text": f"Bread number {no} is baked."} for no in range(8)]
    (crowded, *_) = write(client, name, {"id": "crowd", "text": crowd}, *other_documents)
    assert crowded["chunks"] > 60
    answer = search(client, name, q="The boat lies on the lake.", limit=9)
    assert len(set(ids(answer))) == 9
    assert ids(answer)[0] == "crowd"
    assert answer["complete"]


def test_fewer_documents_than_requested(client: httpx.Client, collection: str):
    assert search(client, collection)["results"] == []
    assert search(client, collection)["complete"]
    write(client, collection, {"id": "a", "text": "a boat"})
    answer = search(client, collection, limit=1000)
    assert (ids(answer), answer["complete"]) == (["a"], True)


def test_stale_vectors_are_never_found(
    client: httpx.Client, collection: str, sql: psycopg.Connection
):
    """Rows of former texts and of deleted documents are in the table but don't count."""
    write(client, collection, *({"id": f"d{no}", "text": f"bread {no}"} for no in range(4)))
    table, _ = truths.index(sql, collection)
    columns = "space_id, char_start, char_end, token_count"
    vector = "(SELECT embedding FROM near)"
    write(client, collection, {"id": "boat", "text": "a boat"})
    sql.execute(
        f"WITH near AS (SELECT v.embedding FROM {table} v JOIN documents d USING (doc_key)"
        " WHERE d.id = 'boat')"
        f" INSERT INTO {table} (doc_key, chunk_no, text_hash, {columns}, embedding)"
        f" SELECT doc_key, 100 + n, '\\x00', {columns}, {vector} FROM {table},"
        " generate_series(1, 30) n"
        f" UNION ALL SELECT gen_random_uuid(), 0, text_hash, {columns}, embedding FROM {table}"
    )
    for exact in (True, False):
        answer = search(client, collection, q="a boat", limit=5, exact=exact)
        assert len(answer["results"]) == 5
        assert ids(answer)[0] == "boat"
        assert {hit["chunk"]["no"] for hit in answer["results"]} == {0}
        assert answer["results"][1]["score"] < 0.99
    similar = client.get(document_path(collection, "boat") + "/similar").json()
    assert len(ids(similar)) == 4
    assert "boat" not in ids(similar)


def test_expect_space(client: httpx.Client, collection: str):
    write(client, collection, {"id": "a", "text": "a boat"})
    space = search(client, collection)["space"]["id"]
    assert ids(search(client, collection, expect_space=space)) == ["a"]
    where = f"/v1/collections/{collection}"
    other = "fp1:" + "0" * 64
    refused = [
        client.post(f"{where}/search", json={"q": "a", "expect_space": other}),
        client.get(f"{where}/search", params={"q": "a", "expect_space": other}),
        client.get(f"{where}/documents/a/similar", params={"expect_space": other}),
    ]
    for answer in refused:
        assert answer.status_code == 409
        assert answer.json()["type"] == "/problems/space-mismatch"
        assert space in answer.json()["detail"]


DOCUMENTS = {
    "n1": {"n": 1, "lang": "en", "tags": ["a"]},
    "n2": {"n": 2, "lang": "de", "deep": {"x": 1}},
    "n3": {"n": 3.5, "lang": "en", "flag": True},
    "s2": {"n": "2", "lang": None},
    "none": {},
    "odd": {"a b'\"%s :x": 1, "$gt": 2, "": 3, "n": False},
}

FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({"n": 2}, {"n2"}),
    ({"n": 2.0}, {"n2"}),
    ({"n": "2"}, {"s2"}),
    ({"n": False}, {"odd"}),
    ({"lang": None}, {"s2"}),
    ({"tags": ["a"]}, {"n1"}),
    ({"deep": {"$eq": {"x": 1}}}, {"n2"}),
    ({"n": {"$gt": 1}}, {"n2", "n3"}),
    ({"n": {"$gte": 1, "$lt": 3}}, {"n1", "n2"}),
    ({"n": {"$gte": "1"}}, {"s2"}),
    ({"n": {"$lt": 1e308}}, {"n1", "n2", "n3"}),
    ({"n": {"$gt": 10**30}}, set()),
    ({"n": {"$ne": 2}}, set(DOCUMENTS) - {"n2"}),
    ({"lang": {"$in": ["de", None]}}, {"n2", "s2"}),
    ({"lang": {"$nin": ["en"]}}, {"n2", "s2", "none", "odd"}),
    ({"lang": {"$in": []}}, set()),
    ({"lang": {"$exists": False}}, {"none", "odd"}),
    ({"lang": {"$exists": True}, "n": {"$exists": True}}, {"n1", "n2", "n3", "s2"}),
    ({"$or": [{"n": 1}, {"flag": True}]}, {"n1", "n3"}),
    ({"n": {"$in": list(range(9000))}}, {"n1", "n2"}),
    ({"$and": [{"lang": "en"}, {"n": {"$gt": 1}}]}, {"n3"}),
    ({"$not": {"lang": "en"}}, {"n2", "s2", "none", "odd"}),
    ({"a b'\"%s :x": 1}, {"odd"}),
    ({"": 3}, {"odd"}),
    ({"n'); DROP TABLE documents; --": 1}, set()),
    ({"n": "' OR 1=1 --"}, set()),
    ({"%(collection)s": 1}, set()),
    ({":n_1": {"$ne": "%s"}}, set(DOCUMENTS)),
]


@pytest.fixture(scope="module")
def filtered(shared) -> str:
    with shared.client() as client:
        client.post("/v1/collections", json={"name": "filtered"}).raise_for_status()
        many = [
            {"id": id_, "text": f"a boat called {id_}", "metadata": metadata}
            for id_, metadata in DOCUMENTS.items()
        ]
        assert {result["status"] for result in write(client, "filtered", *many)} == {"created"}
    return "filtered"


@pytest.mark.parametrize(
    ("condition", "expected"), FILTERS, ids=[str(condition)[:40] for condition, _ in FILTERS]
)
def test_filters(client: httpx.Client, filtered: str, condition, expected):
    answer = search(client, filtered, filter=condition, limit=20)
    assert set(ids(answer)) == expected
    assert answer["complete"]


deep: dict[str, Any] = {"n": 1}
for _ in range(12):
    deep = {"$not": deep}

WRONG_FILTERS: list[Any] = [
    {},
    {"n": {}},
    {"n": {"$regex": "a"}},
    {"$where": "1"},
    {"$or": []},
    {"$or": {"n": 1}},
    {"$or": [1]},
    {"$not": 1},
    {"n": {"$in": "abc"}},
    {"n": {"$exists": 1}},
    {"n": {"$gt": None}},
    {"n": {"$gt": True}},
    {"n": {"$gt": [1]}},
    {"n": "a\0b"},
    {"a\0b": 1},
    deep,
    {f"f{no}": no for no in range(300)},
    {"n": {"$in": list(range(100_000))}},
    [],
    "n = 1",
]


@pytest.mark.parametrize("condition", WRONG_FILTERS, ids=lambda value: str(value)[:40])
def test_wrong_filters_are_explained(client: httpx.Client, filtered: str, condition):
    query = {"q": "a boat", "filter": condition}
    answer = client.post(f"/v1/collections/{filtered}/search", json=query)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "filter" in answer.json()["detail"]


def test_a_text_without_a_token_is_refused(client: httpx.Client, collection: str):
    answer = client.post(f"/v1/collections/{collection}/search", json={"q": "\u200b"})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/no-tokens")


def test_a_query_over_the_limit_is_cut_or_refused(client: httpx.Client, collection: str):
    write(client, collection, {"id": "a", "text": "a boat"})
    assert ids(search(client, collection, q="a boat " * 5000)) == ["a"]


def test_a_query_over_the_limit_says_that_it_was_cut(client: httpx.Client, collection: str):
    long = client.get(f"/v1/collections/{collection}/search", params={"q": "frog " * 400})
    short = client.get(f"/v1/collections/{collection}/search", params={"q": "frog"})
    assert (long.json()["query_cut"], short.json()["query_cut"]) == (True, False)
