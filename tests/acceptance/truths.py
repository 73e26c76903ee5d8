"""Invariants that every test can check: of the database, in SQL, and of every error."""

from typing import Any

import httpx
import psycopg


def half_documents(sql: psycopg.Connection, collection: str) -> list[tuple[str, int]]:
    """Documents that lack chunks of their current text, or have rows of another text."""
    table, collection_id = index(sql, collection)
    rows = sql.execute(
        "SELECT d.id, count(v.doc_key) FROM documents d"
        f" LEFT JOIN {table} v ON v.doc_key = d.doc_key WHERE d.collection_id = %s"
        " GROUP BY d.doc_key HAVING count(v.doc_key) = 0"
        " OR bool_or(v.text_hash <> d.text_hash)"
        " OR count(v.doc_key) <> max(v.chunk_no) + 1 OR min(v.char_start) > 0"
        " OR max(v.char_end) < length(rtrim(d.text))",
        (collection_id,),
    )
    return list(rows)


def orphans(sql: psycopg.Connection, collection: str) -> int:
    """Rows of vectors whose document is gone or has another text."""
    table, _ = index(sql, collection)
    row = sql.execute(
        f"SELECT count(*) FROM {table} v LEFT JOIN documents d USING (doc_key)"
        " WHERE d.text_hash IS DISTINCT FROM v.text_hash"
    ).fetchone()
    assert row is not None
    return int(row[0])


def index(sql: psycopg.Connection, collection: str) -> tuple[str, object]:
    """The table of the active index, and the collection's id."""
    row = sql.execute(
        "SELECT active_index_id, id FROM collections WHERE name = %s", (collection,)
    ).fetchone()
    assert row is not None
    return f"vectors_{row[0]}", row[1]


def is_problem(answer: httpx.Response, status: int | None = None) -> dict[str, Any]:
    """Assert that it has the shape of RFC 9457; return it."""
    assert status is None or answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["type"].startswith("/problems/")
    assert problem["title"]
    assert problem["detail"]
    assert "Traceback" not in answer.text
    return problem
