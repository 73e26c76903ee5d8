"""kill -9 of the service, of PostgreSQL and of both during a stream: nothing is lost."""

import itertools
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests import services, streams, texts, waiting
from tests.acceptance import truths

Serve = Callable[..., services.Service]
Acknowledged = dict[str, dict[str, Any]]
AHEAD = 400


def documents(seed: int) -> Iterator[dict[str, Any]]:
    """An endless supply of distinct texts; every fortieth has several chunks."""
    rng = random.Random(seed)
    for no in itertools.count():
        count = 350 if no % 40 == 7 else rng.randint(2, 6)
        yield {
            "id": f"{seed}-{no}",
            "text": f"Number {no} of {seed}. {texts.words(rng, count)}.",
            "metadata": {"no": no},
        }


def check(
    client: httpx.Client, sql: psycopg.Connection, sent: Acknowledged, acks: Acknowledged
) -> None:
    """Check that every acknowledged document is complete, current and found by its newest text."""
    assert truths.half_documents(sql, "default") == []
    assert truths.orphans(sql, "default") == 0
    table, _ = truths.index(sql, "default")
    rows = sql.execute(
        "SELECT d.id, d.text, count(*), min(v.char_end) FROM documents d"
        f" JOIN {table} v USING (doc_key) GROUP BY d.doc_key"
    )
    stored = {row[0]: row[1:] for row in rows}
    for id_, ack in acks.items():
        assert stored[id_][:2] == (sent[id_]["text"], ack["chunks"])
    for id_ in random.Random(1).sample(sorted(acks), min(25, len(acks))):
        first_chunk = sent[id_]["text"][: stored[id_][2]]
        query = {"q": first_chunk, "limit": 3, "exact": True}
        results = client.post("/v1/search", json=query).raise_for_status().json()["results"]
        assert results[0]["id"] == id_


class Feed:
    """A stream in progress: what was sent, and what was acknowledged so far.

    It goes on until `end` is called, some lines ahead of what was acknowledged; with a `count`
    it then sends nothing more, but does not end by itself either.
    """

    def __init__(self, service: services.Service, seed: int, count: int | None = None) -> None:
        self.sent: Acknowledged = {}
        self.acks: Acknowledged = {}
        self.error: dict[str, Any] | None = None
        self.lines = 0
        self._documents = itertools.islice(documents(seed), count)
        self._stream = streams.LineStream(service.port, "/v1/documents")
        self._ends = threading.Event()
        self._reader = threading.Thread(target=self._read, name="read")

    def __enter__(self) -> "Feed":
        self._reader.start()
        self._stream.feed(self._noted())
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.join(120)
        self._ends.set()
        self._stream.__exit__(None, None, None)
        assert not self._reader.is_alive()

    def end(self) -> None:
        self._ends.set()

    def _may_send(self) -> bool:
        near = len(self.sent) < self.lines + AHEAD
        return near or self._ends.is_set() or not self._reader.is_alive()

    def _noted(self) -> Iterator[dict[str, Any]]:
        for document in self._documents:
            waiting.until(self._may_send, 120)
            if self._ends.is_set() or not self._reader.is_alive():
                return
            self.sent[document["id"]] = document
            yield document
        self._ends.wait(120)

    def _read(self) -> None:
        for result in self._stream.results():
            if "error" in result:
                self.error = result["error"]
                continue
            self.lines += 1
            assert result["line"] == self.lines
            assert result["status"] in {"created", "unchanged", "updated"}
            self.acks[result["id"]] = result

    def wait_acknowledged(self, lines: int = 150) -> None:
        waiting.until(lambda: self.lines >= lines, details=lambda: f"{self.lines}, {self.error}")

    def go_on(self) -> None:
        """Wait until a line sent after this call is acknowledged; then end the stream."""
        self.wait_acknowledged(len(self.sent) + 50)
        self.end()


@pytest.mark.parametrize("killed", ["service", "both"])
def test_service_killed_during_a_stream(home: Path, serve_static: Serve, killed: str):
    service = serve_static(home)
    running = services.postgres_pid(home)
    with Feed(service, 1) as feed:
        feed.wait_acknowledged()
        if killed == "both":
            services.kill_postgres(home)
        service.kill()
    again = serve_static(home)
    # A PostgreSQL that is still running is found and not started a second time.
    assert (services.postgres_pid(home) == running) is (killed == "service")
    with again.client() as client, services.connected(home) as sql:
        check(client, sql, feed.sent, feed.acks)
    assert again.stop() == 0
    assert services.postgres_processes(home) == []


def test_postgres_killed_during_a_stream(home: Path, serve_static: Serve):
    """The service restarts it; the stream continues, and every line is acknowledged."""
    service = serve_static(home)
    with Feed(service, 2) as feed:
        feed.wait_acknowledged()
        before = services.postgres_pid(home)
        services.kill_postgres(home)
        feed.go_on()
    assert feed.error is None
    assert feed.acks.keys() == feed.sent.keys()
    service.wait_ready()
    assert services.postgres_pid(home) != before
    with service.client() as client, services.connected(home) as sql:
        check(client, sql, feed.sent, feed.acks)
    assert service.stop() == 0
    assert services.postgres_processes(home) == []


def test_session_of_postgres_killed_during_a_stream(home: Path, serve_static: Serve):
    """PostgreSQL then terminates every session and recovers, which the service waits for."""
    service = serve_static(home)
    with Feed(service, 3) as feed:
        feed.wait_acknowledged()
        with services.connected(home) as sql:
            pid = sql.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'vecmark' LIMIT 1"
            ).fetchone()
        assert pid is not None
        os.kill(pid[0], signal.SIGKILL)
        feed.go_on()
    assert feed.error is None
    assert feed.acks.keys() == feed.sent.keys()
    service.wait_ready()
    with service.client() as client, services.connected(home) as sql:
        check(client, sql, feed.sent, feed.acks)


def test_stopped_during_a_stream(home: Path, serve: Serve):
    """A clean exit doesn't wait for an endless client; everything acknowledged is stored."""
    service = serve(home)
    with Feed(service, 4, count=180) as feed:
        feed.wait_acknowledged()
        assert service.stop() == 0
    assert feed.error is not None
    assert feed.error["type"] == "/problems/stopping"
    assert services.postgres_processes(home) == []
    assert "Traceback" not in service.output()
    again = serve(home)
    with again.client() as client, services.connected(home) as sql:
        check(client, sql, feed.sent, feed.acks)
