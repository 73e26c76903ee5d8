"""The health routes report the true state, and everything recovers on its own."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import sqlalchemy

from migrations import schema
from storage.embedded import postgres
from tests import databases, services

Serve = Callable[..., services.Service]


def test_ready_and_healthy(client: httpx.Client):
    ready = client.get("/readyz")
    assert ready.json() == {
        "status": "ok",
        "checks": {
            "database": "ok",
            "schema": "ok",
            "model": "ok",
            "tasks": "ok",
            "replica": "ok",
        },
        "warnings": [],
    }
    for path in ("/healthz", "/healthcheck"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.fixture
def server(home: Path) -> Iterator[postgres.EmbeddedPostgres]:
    """A PostgreSQL that the service doesn't manage, with a schema."""
    server = postgres.EmbeddedPostgres(home.parent / "elsewhere")
    try:
        schema.upgrade(server.start())
        yield server
    finally:
        server.stop()


def eventually(condition: Callable[[], bool], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def frozen(data_dir: Path) -> Iterator[None]:
    """Suspend every process of a PostgreSQL: connections stay open, but nothing answers."""
    stopped = services.postgres_processes(data_dir)
    for process in stopped:
        process.suspend()
    try:
        yield
    finally:
        for process in stopped:
            process.resume()


def write(client: httpx.Client, id_: str) -> httpx.Response:
    return client.post("/v1/documents", json={"documents": [{"id": id_, "text": f"boat {id_}"}]})


def test_postgres_stops_and_comes_back(
    home: Path, serve_static: Serve, server: postgres.EmbeddedPostgres
):
    service = serve_static(home, database_url=server.url)
    with service.client() as client:
        assert write(client, "before").status_code == 200
        server.stop()
        eventually(lambda: client.get("/readyz").status_code == 503, 5)
        checks = client.get("/readyz").json()["checks"]
        assert checks["database"] != "ok"
        assert client.get("/healthz").is_success
        assert client.get("/healthcheck").status_code == 503
        search = client.get("/v1/search", params={"q": "boat"})
        assert (search.status_code, search.headers["retry-after"]) == (503, "2")
        assert search.headers["content-type"] == "application/problem+json"
        server.start()
        eventually(lambda: client.get("/readyz").is_success, 20)
        assert write(client, "after").status_code == 200
        answer = client.get("/v1/search", params={"q": "boat", "exact": True}).json()
        assert {hit["id"] for hit in answer["results"]} == {"before", "after"}
    assert "Traceback" not in service.output()
    assert service.stop() == 0
    # The service doesn't manage it, so it keeps running.
    assert services.postgres_processes(home.parent / "elsewhere")


def test_a_write_waits_for_postgres(
    home: Path, serve_static: Serve, server: postgres.EmbeddedPostgres
):
    """It is acknowledged only once PostgreSQL is back."""
    import concurrent.futures

    service = serve_static(home, database_url=server.url)
    with service.client() as client, concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert write(client, "before").status_code == 200
        server.stop()
        waiting = pool.submit(write, client, "while")
        eventually(lambda: client.get("/readyz").status_code == 503, 5)
        assert not waiting.done()
        server.start()
        answer = waiting.result(60)
        assert answer.json()["results"][0]["status"] == "created"
        assert client.get("/v1/documents/while").json()["searchable"]


def test_postgres_that_hangs(home: Path, serve_static: Serve, server: postgres.EmbeddedPostgres):
    """Connections stay open but nothing answers: not ready, and healthy again afterwards."""
    service = serve_static(home, database_url=server.url)
    with service.client() as client:
        assert write(client, "before").status_code == 200
        with frozen(home.parent / "elsewhere"):
            began = time.monotonic()
            assert client.get("/readyz").status_code == 503
            assert time.monotonic() - began < 5
            assert client.get("/healthz").is_success
        eventually(lambda: client.get("/readyz").is_success, 30)
        assert write(client, "after").status_code == 200


def test_schema_dropped(home: Path, serve_static: Serve, database_url: str):
    service = serve_static(home, database_url=database_url)
    with service.client() as client:
        databases.execute(database_url, "UPDATE alembic_version SET version_num = '0000'")
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["checks"]["database"] == "ok"
        assert "0000" in ready.json()["checks"]["schema"]
        assert client.get("/healthz").is_success


def test_connections_terminated(home: Path, serve_static: Serve, database_url: str):
    """As when a pooler restarts: the next request opens a new connection and no client notices."""
    service = serve_static(home, database_url=database_url)
    name = databases.database_name(database_url)
    with service.client() as client:
        for no in range(3):
            databases.execute(
                sqlalchemy.make_url(database_url)
                .set(database="postgres")
                .render_as_string(hide_password=False),
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
            )
            assert client.get("/v1/collections").status_code in {200, 503}
            assert write(client, f"d{no}").status_code == 200
            assert client.get("/v1/search", params={"q": "boat"}).status_code == 200
    assert psutil.pid_exists(service.process.pid)
