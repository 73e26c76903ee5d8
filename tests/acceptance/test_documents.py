"""Writing, changing and deleting documents over HTTP."""

import concurrent.futures
import random
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest

from tests import services
from tests.acceptance import truths

LONG = " ".join(f"Sentence {no} tells of boats and bridges." for no in range(120))


def write(
    client: httpx.Client, collection: str, *documents: dict[str, Any]
) -> list[dict[str, Any]]:
    sent = {"documents": list(documents)}
    answer = client.post(f"/v1/collections/{collection}/documents", json=sent)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def document_path(collection: str, id_: str) -> str:
    return f"/v1/collections/{collection}/documents/{quote(id_, safe='')}"


def rows(sql: psycopg.Connection, collection: str, id_: str) -> list[tuple[str, ...]]:
    """Physical position and writer of the document's vectors, to tell old rows from new ones."""
    table, collection_id = truths.index(sql, collection)
    result = sql.execute(
        f"SELECT v.ctid::text, v.xmin::text FROM {table} v JOIN documents d USING (doc_key)"
        " WHERE d.collection_id = %s AND d.id = %s ORDER BY chunk_no",
        (collection_id, id_),
    )
    return list(result)


def test_created_unchanged_updated(client: httpx.Client, collection: str, sql: psycopg.Connection):
    document = {"id": "a", "text": LONG, "metadata": {"kind": "boat"}}
    (created,) = write(client, collection, document)
    assert (created["status"], created["version"]) == ("created", 1)
    assert created["chunks"] > 2
    before = rows(sql, collection, "a")
    assert len(before) == created["chunks"]
    (unchanged,) = write(client, collection, document)
    assert (unchanged["status"], unchanged["version"]) == ("unchanged", 1)
    assert rows(sql, collection, "a") == before
    (updated,) = write(client, collection, {**document, "text": "A short text."})
    assert (updated["status"], updated["version"], updated["chunks"]) == ("updated", 2, 1)
    assert truths.half_documents(sql, collection) == []
    assert truths.orphans(sql, collection) == 0


@pytest.mark.parametrize("by_patch", [True, False])
def test_new_metadata_keeps_the_vectors(
    client: httpx.Client, collection: str, sql: psycopg.Connection, by_patch: bool
):
    write(client, collection, {"id": "a", "text": LONG, "metadata": {"kind": "boat"}})
    before = rows(sql, collection, "a")
    new = {"kind": "bridge", "of": {"deep": [1, None, "ü"]}}
    if by_patch:
        client.patch(document_path(collection, "a"), json={"metadata": new}).raise_for_status()
    else:
        (updated,) = write(client, collection, {"id": "a", "text": LONG, "metadata": new})
        assert (updated["status"], updated["version"]) == ("updated", 2)
    assert rows(sql, collection, "a") == before
    stored = client.get(document_path(collection, "a")).json()
    assert (stored["metadata"], stored["version"], stored["text"]) == (new, 2, LONG)
    answer = client.get(f"/v1/collections/{collection}/search", params={"q": "boats"}).json()
    assert answer["results"][0]["metadata"] == new


def test_lost_vectors_are_recreated(client: httpx.Client, collection: str, sql: psycopg.Connection):
    """The document is unchanged for its client, but it is embedded again if no vector counts."""
    document = {"id": "a", "text": "a boat on the lake"}
    write(client, collection, document)
    table, _ = truths.index(sql, collection)
    sql.execute(f"DELETE FROM {table}")
    (again,) = write(client, collection, document)
    assert (again["status"], again["version"], again["chunks"]) == ("unchanged", 1, 1)
    assert truths.half_documents(sql, collection) == []


def test_deleted_and_created_again(client: httpx.Client, collection: str, sql: psycopg.Connection):
    write(client, collection, {"id": "a", "text": LONG})
    assert client.delete(document_path(collection, "a")).status_code == 204
    assert client.delete(document_path(collection, "a")).status_code == 404
    assert client.get(document_path(collection, "a")).status_code == 404
    assert truths.orphans(sql, collection) == 0
    search = f"/v1/collections/{collection}/search"
    assert client.get(search, params={"q": "boats", "exact": True}).json()["results"] == []
    (again,) = write(client, collection, {"id": "a", "text": "about kettles"})
    assert (again["status"], again["version"]) == ("created", 1)
    assert truths.half_documents(sql, collection) == []


def test_the_last_document_with_an_id_wins(client: httpx.Client, collection: str):
    results = write(
        client,
        collection,
        {"id": "a", "text": "first"},
        {"id": "b", "text": "   "},
        {"id": "a", "text": "second"},
        {"id": "a", "text": "third"},
    )
    assert [r["status"] for r in results] == ["superseded", "failed", "superseded", "created"]
    assert client.get(document_path(collection, "a")).json()["text"] == "third"


def test_without_an_id_equal_texts_are_one_document(client: httpx.Client, collection: str):
    (first,) = write(client, collection, {"text": "a boat"})
    (second,) = write(client, collection, {"text": "a boat"})
    assert (first["status"], second["status"]) == ("created", "unchanged")
    assert first["id"] == second["id"]
    assert client.get(document_path(collection, first["id"])).json()["text"] == "a boat"


IDS = [
    "a/b",
    "..",
    ".",
    "../../etc",
    "a b+c%20",
    "%2F",
    "100%",
    "ünï/çødé 🦆",
    "?q=1#x",
    "a\\b",
    "\u202e",
    "documents",
    "similar",
    "a/similar",
    "x" * 512,
    "'; DROP TABLE documents; --",
    "\n",
]


@pytest.mark.parametrize("id_", IDS)
def test_any_characters_in_an_id(client: httpx.Client, collection: str, id_: str):
    (created,) = write(client, collection, {"id": id_, "text": "a boat"})
    assert (created["status"], created["id"]) == ("created", id_)
    # Clients remove a plain `.` or `..` before sending a URL.
    raw = document_path(collection, id_).replace("/.", "/%2E").replace("%2E.", "%2E%2E").encode()
    where = httpx.URL(str(client.base_url)).copy_with(raw_path=raw)
    assert client.get(where).json()["id"] == id_
    patched = client.patch(where, json={"metadata": {"n": 1}})
    assert patched.json()["metadata"] == {"n": 1}
    similar = client.get(where.copy_with(raw_path=raw + b"/similar"))
    assert similar.json()["results"] == []
    assert client.delete(where).status_code == 204


def test_every_document_is_listed_once(client: httpx.Client, collection: str):
    ids = {f"d{no}" for no in range(25)}
    write(client, collection, *({"id": id_, "text": f"boat {id_}"} for id_ in sorted(ids)))
    listed: list[str] = []
    cursor = None
    while True:
        query = {"limit": "10"} | ({"cursor": cursor} if cursor else {})
        answer = client.get(f"/v1/collections/{collection}/documents", params=query).json()
        listed += [item["id"] for item in answer["items"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert len(listed) == 25
    assert set(listed) == ids


def test_delete_by_filter(client: httpx.Client, collection: str, sql: psycopg.Connection):
    many = [{"id": f"d{no}", "text": f"boat {no}", "metadata": {"no": no}} for no in range(12)]
    write(client, collection, *many)
    where = f"/v1/collections/{collection}/documents"
    answer = client.request("DELETE", where, json={"filter": {"no": {"$gte": 5}}})
    assert answer.json() == {"removed": 7}
    assert {item["id"] for item in client.get(where).json()["items"]} == {
        f"d{no}" for no in range(5)
    }
    assert truths.orphans(sql, collection) == 0


def test_a_truncated_text_is_reported(client: httpx.Client, collection: str):
    name = f"{collection}-none"
    sent = {"name": name, "chunking": {"strategy": "none"}}
    client.post("/v1/collections", json=sent).raise_for_status()
    long, short = write(client, name, {"id": "l", "text": LONG}, {"id": "s", "text": "a boat"})
    assert (long["chunks"], long.get("cut")) == (1, True)
    assert "cut" not in short


def test_many_clients_change_the_same_documents(
    shared: services.Service, client: httpx.Client, collection: str, sql: psycopg.Connection
):
    """The last write wins as a whole: a document's vectors are those of its current text."""
    texts: set[str] = set()

    def work(seed: int) -> None:
        rng = random.Random(seed)
        with shared.client() as mine:
            for step in range(12):
                ids = rng.sample(range(6), 3)
                if rng.random() < 0.25:
                    status = mine.delete(document_path(collection, f"d{ids[0]}")).status_code
                    assert status in {204, 404}
                    continue
                size = 40 if rng.random() < 0.3 else 1
                new = [f"{seed} at {step}: boats of {id_}. {LONG[: size * 40]}" for id_ in ids]
                texts.update(new)
                write(
                    mine,
                    collection,
                    *({"id": f"d{id_}", "text": t} for id_, t in zip(ids, new, strict=True)),
                )

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert truths.half_documents(sql, collection) == []
    assert truths.orphans(sql, collection) == 0
    for item in client.get(f"/v1/collections/{collection}/documents").json()["items"]:
        stored = client.get(document_path(collection, item["id"])).json()
        assert stored["text"] in texts
        assert stored["searchable"]


def test_writes_in_opposite_orders_do_not_fail(
    shared: services.Service, collection: str, sql: psycopg.Connection
):
    ids = [f"d{no}" for no in range(60)]

    def work(seed: int) -> list[str]:
        order = ids if seed % 2 else ids[::-1]
        statuses = []
        with shared.client() as mine:
            for step in range(4):
                new = [{"id": id_, "text": f"{id_} by {seed} at {step}"} for id_ in order]
                statuses += [result["status"] for result in write(mine, collection, *new)]
        return statuses

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        statuses = [status for found in pool.map(work, range(4)) for status in found]
    assert len(statuses) == 4 * 4 * 60
    assert set(statuses) <= {"created", "updated", "unchanged"}
    assert truths.half_documents(sql, collection) == []
    assert truths.orphans(sql, collection) == 0


def test_one_client_sees_its_own_last_write(client: httpx.Client, collection: str):
    """On one connection the last acknowledged write or delete counts."""
    rng = random.Random(7)
    expected: dict[str, str | None] = {}
    for step in range(40):
        id_ = f"d{rng.randint(0, 4)}"
        if rng.random() < 0.3:
            status = client.delete(document_path(collection, id_)).status_code
            assert status == (204 if expected.get(id_) else 404)
            expected[id_] = None
        else:
            expected[id_] = f"step {step} about boats"
            write(client, collection, {"id": id_, "text": expected[id_]})
    for id_, text in expected.items():
        answer = client.get(document_path(collection, id_))
        assert (answer.json()["text"] if answer.is_success else None) == text


def test_a_recreated_collection_is_empty(client: httpx.Client, collection: str):
    write(client, collection, {"id": "a", "text": "a boat"})
    where = f"/v1/collections/{collection}"
    assert client.delete(where).status_code == 204
    assert client.get(where).status_code == 404
    assert client.delete(where).status_code == 404
    client.post("/v1/collections", json={"name": collection}).raise_for_status()
    assert client.get(where).json()["documents"] == 0
    assert client.get(f"{where}/search", params={"q": "boat"}).json()["results"] == []
    (created,) = write(client, collection, {"id": "a", "text": "a boat"})
    assert created["status"] == "created"
