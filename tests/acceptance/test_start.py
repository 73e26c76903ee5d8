"""Starts that meet something: another start, a taken port, a foreign pid, an old schema."""

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from storage.embedded import accounts
from tests import services
from tests.acceptance.test_kill import kill_postgres

Serve = Callable[..., services.Service]


def test_two_starts_at_once_on_an_empty_directory(home: Path, serve: Serve):
    """They share one PostgreSQL; it ends with the last of them."""
    first, second = serve(home, ready=False), serve(home, ready=False)
    first.wait_ready()
    second.wait_ready()
    with first.client() as one, second.client() as other:
        sent = {"documents": [{"id": "a", "text": "a boat on a lake"}]}
        one.post("/v1/documents", json=sent).raise_for_status()
        found = other.get("/v1/search", params={"q": "boat"}).raise_for_status().json()
        assert [hit["id"] for hit in found["results"]] == ["a"]
    assert first.stop() == 0
    with second.client() as other:
        assert other.get("/readyz").is_success
    assert second.stop() == 0
    assert services.postgres_processes(home) == []


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the user that PostgreSQL runs as, but not PostgreSQL."""
    account = accounts.current()
    process = subprocess.Popen(
        ["sleep", "600"],
        cwd="/",
        user=account.uid if account.switch else None,
        group=account.gid if account.switch else None,
        extra_groups=[] if account.switch else None,
    )
    yield process
    process.kill()
    process.wait()


def test_pid_that_now_belongs_to_another_process(home: Path, serve: Serve, stranger):
    service = serve(home)
    with service.client() as client:
        sent = {"documents": [{"id": "a", "text": "a boat on a lake"}]}
        client.post("/v1/documents", json=sent).raise_for_status()
    service.kill()
    kill_postgres(home)
    pid_file = services.cluster(home) / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
    again = serve(home)
    with again.client() as client:
        found = client.get("/v1/search", params={"q": "boat", "exact": True}).json()
        assert [hit["id"] for hit in found["results"]] == ["a"]
    assert again.stop() == 0
    assert services.postgres_processes(home) == []
    assert psutil.pid_exists(stranger.pid)
    assert stranger.poll() is None


def test_port_taken(home: Path):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        done = services.run(home, "serve", port=port)
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr
    # Nothing was started for it.
    assert services.postgres_processes(home) == []


def test_server_database_that_is_behind_is_refused(home: Path, empty_database_url: str):
    done = services.run(home, "serve", port=services.free_port(), database_url=empty_database_url)
    assert done.returncode == 1
    assert "vecmark db upgrade" in done.stderr
    assert "Traceback" not in done.stderr


def test_unreachable_database_is_told(home: Path):
    url = f"postgresql://nobody:secret@127.0.0.1:{services.free_port()}/nothing"
    done = services.run(home, "serve", port=services.free_port(), database_url=url)
    assert done.returncode == 1
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "database" in done.stderr
