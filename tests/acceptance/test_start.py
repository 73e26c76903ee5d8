"""Obstacles at startup: a concurrent start, a port in use, a reused pid, an old schema."""

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import psutil

from tests import services

Serve = Callable[..., services.Service]


def test_two_starts_at_once_on_an_empty_directory(home: Path, serve_static: Serve):
    """They share one PostgreSQL, which stops with the last of them."""
    first, second = serve_static(home, ready=False), serve_static(home, ready=False)
    first.wait_ready()
    second.wait_ready()
    with first.client() as client, second.client() as other:
        sent = {"documents": [{"id": "a", "text": "a boat on a lake"}]}
        client.post("/v1/documents", json=sent).raise_for_status()
        answer = other.get("/v1/search", params={"q": "boat"}).raise_for_status().json()
        assert [hit["id"] for hit in answer["results"]] == ["a"]
    assert first.stop() == 0
    with second.client() as other:
        assert other.get("/readyz").is_success
    assert second.stop() == 0
    assert services.postgres_processes(home) == []


def test_pid_that_now_belongs_to_another_process(home: Path, serve_static: Serve, stranger):
    service = serve_static(home)
    with service.client() as client:
        sent = {"documents": [{"id": "a", "text": "a boat on a lake"}]}
        client.post("/v1/documents", json=sent).raise_for_status()
    service.kill()
    services.kill_postgres(home)
    pid_file = services.cluster(home) / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
    again = serve_static(home)
    with again.client() as client:
        answer = client.get("/v1/search", params={"q": "boat", "exact": True}).json()
        assert [hit["id"] for hit in answer["results"]] == ["a"]
    assert again.stop() == 0
    assert services.postgres_processes(home) == []
    assert psutil.pid_exists(stranger.pid)
    assert stranger.poll() is None


def test_port_in_use(home: Path):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        done = services.run(home, "serve", port=port)
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use by process {os.getpid()}" in done.stderr
    assert re.search(r"--port \d+", done.stderr)
    assert "Traceback" not in done.stderr
    # Nothing was started.
    assert not home.exists()


def test_a_server_database_with_an_old_schema_is_refused(
    home: Path, model_cache: Path, empty_database_url: str
):
    services.prepare(home, model_cache)
    done = services.run(home, "serve", port=services.free_port(), database_url=empty_database_url)
    assert done.returncode == 1
    assert "vecmark db upgrade" in done.stderr
    assert "Traceback" not in done.stderr


def test_unreachable_database_is_reported(home: Path, model_cache: Path):
    services.prepare(home, model_cache)
    url = f"postgresql://nobody:secret@127.0.0.1:{services.free_port()}/nothing"
    done = services.run(home, "serve", port=services.free_port(), database_url=url)
    assert done.returncode == 1
    assert "Error: " in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "database" in done.stderr
