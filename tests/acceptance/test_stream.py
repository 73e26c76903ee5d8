"""NDJSON streams: every line is acknowledged, however clients send lines and read results."""

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from tests import services, streams
from tests.acceptance import truths

LINES = 200_000
NDJSON = {"Content-Type": "application/x-ndjson"}


def path(collection: str, **query: str) -> str:
    parameters = "?" + "&".join(f"{key}={value}" for key, value in query.items()) if query else ""
    return f"/v1/collections/{collection}/documents{parameters}"


def cheap_line(no: int) -> bytes:
    """Lines that hardly need a model: invalid ones, and a few ids repeated."""
    if no % 3:
        return b'{"id":"n%d","text":""}\n' % no
    return b'{"id":"same","text":"the same text each time","metadata":{"of":%d}}\n' % (no % 5)


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """A file of 200,000 lines."""
    file = tmp_path_factory.mktemp("lines") / "lines.ndjson"
    file.write_bytes(b"".join(cheap_line(no) for no in range(1, LINES + 1)))
    return file


def by_urllib(service: services.Service, where: str, file: Path) -> Iterator[bytes]:
    """Sends everything before it reads anything."""
    with file.open("rb") as body:
        request = urllib.request.Request(f"{service.url}{where}", data=body, headers=NDJSON)
        request.add_header("Content-Length", str(file.stat().st_size))
        with urllib.request.urlopen(request, timeout=120) as answer:
            yield from answer


def by_httpx(service: services.Service, where: str, file: Path) -> Iterator[bytes]:
    with (
        service.client() as client,
        file.open("rb") as body,
        client.stream("POST", where, content=body, headers=NDJSON) as answer,
    ):
        assert answer.status_code == 200
        for line in answer.iter_lines():
            yield line.encode()


def by_curl(service: services.Service, where: str, file: Path) -> Iterator[bytes]:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("there is no curl on this machine")
    command = [curl, "-sS", "--noproxy", "*", "-T", str(file), "-X", "POST"]
    command += ["-H", "Content-Type: application/x-ndjson", f"{service.url}{where}"]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    yield from done.stdout.splitlines()


@pytest.mark.parametrize("sent_by", [by_urllib, by_httpx, by_curl])
def test_every_line_is_acknowledged_in_order(
    shared: services.Service, collection: str, many: Path, sent_by
):
    before = resident(shared)
    count = 0
    for count, line in enumerate(sent_by(shared, path(collection), many), start=1):
        result = json.loads(line)
        assert result["line"] == count
        if count % 3:
            assert (result["status"], result["id"]) == ("failed", f"n{count}")
            assert result["reason"] == "validation"
        else:
            assert result["status"] in {"created", "updated", "unchanged", "superseded"}
    assert count == LINES
    assert resident(shared) - before < 200_000_000


def resident(service: services.Service) -> int:
    return int(psutil.Process(service.process.pid).memory_info().rss)


def test_failures_and_a_summary_only(shared: services.Service, collection: str):
    lines = b"".join(
        [
            b'{"id":"a","text":"one boat"}\n',
            b"\n",
            b"{nonsense\n",
            b'{"id":"a","text":"two boats"}\n',
            b'{"id":"b","text":"a bridge"}',  # no line end
        ]
    )
    with shared.client() as client:
        where = path(collection, results="failed")
        answer = client.post(where, content=lines, headers=NDJSON)
    failed, summary = map(json.loads, answer.text.splitlines())
    assert failed["line"] == 3
    assert failed["status"] == "failed"
    assert failed["detail"]
    counts = {"created": 2, "updated": 0, "unchanged": 0, "superseded": 1, "failed": 1, "lines": 4}
    assert summary == {"summary": counts}


def test_a_bad_line_fails_alone(client: httpx.Client, collection: str):
    bad: list[bytes] = [
        b'{"id":"x1"}\n',
        b'{"id":"x2","text":5}\n',
        b'{"id":"x3","text":"a","more":1}\n',
        b'{"id":"x4","text":" \\t "}\n',
        b'{"id":"x5","text":"a\\u0000b"}\n',
        b'{"id":"x6","text":"\\ud800"}\n',
        b'{"id":"x7","text":"a","metadata":[]}\n',
        b'{"id":"x8","text":"a","metadata":' + b'{"a":' * 2000 + b"1" + b"}" * 2000 + b"}\n",
        b'{"id":"x9","text":"a","metadata":{"n":1e400}}\n',
        b'["x10"]\n',
        b"null\n",
        b"\xff\xfe\n",
        b'{"id":"' + b"i" * 513 + b'","text":"a"}\n',
        b'{"id":"","text":"a"}\n',
        b'{"id":5,"text":"a"}\n',
        b'{"id":"\xc3\x28","text":"a"}\n',
    ]
    lines = [b'{"id":"good1","text":"a boat"}\n', *bad, b'{"id":"good2","text":"a bridge"}\n']
    answer = client.post(path(collection), content=b"".join(lines), headers=NDJSON)
    results = [json.loads(line) for line in answer.text.splitlines()]
    assert [result["line"] for result in results] == list(range(1, len(lines) + 1))
    assert [result["status"] for result in results] == [
        "created",
        *["failed"] * len(bad),
        "created",
    ]
    assert all(result["reason"] and result["detail"] for result in results[1:-1])


def test_a_line_over_the_limit(home: Path, serve_static, database_url: str):
    service = serve_static(home, database_url=database_url, max_body_bytes=20_000)
    long = b'{"id":"long","text":"' + b"word " * 10_000 + b'"}\n'
    with service.client() as client:
        body = b'{"id":"a","text":"a boat"}\n' + long + b'{"id":"b","text":"a bridge"}\n'
        answer = client.post("/v1/documents", content=body, headers=NDJSON)
    first, second, third = map(json.loads, answer.text.splitlines())
    assert (first["status"], third["status"]) == ("created", "created")
    assert (second["line"], second["status"], second["reason"]) == (2, "failed", "too-large")
    assert "20,000" in second["detail"]


def test_a_client_that_pauses_gets_results_meanwhile(shared: services.Service, collection: str):
    with streams.LineStream(shared.port, path(collection)) as stream:
        for no in range(1, 4):
            stream.send({"id": f"d{no}", "text": f"boat number {no}"})
            result = stream.result()
            assert (result["line"], result["id"], result["status"]) == (no, f"d{no}", "created")
        stream.end()
        assert list(stream.results()) == []


def test_the_last_line_of_a_request_wins(
    client: httpx.Client, collection: str, sql: psycopg.Connection
):
    """Across windows too: later lines see what earlier lines stored."""
    lines = [{"id": f"d{no % 7}", "text": f"text {no} about number {no}"} for no in range(1, 1401)]
    body = b"".join(streams.encoded(line) for line in lines)
    answer = client.post(path(collection), content=body, headers=NDJSON)
    results = [json.loads(line) for line in answer.text.splitlines()]
    assert len(results) == 1400
    assert {one["status"] for one in results} == {"created", "updated", "superseded"}
    for no in range(7):
        stored = client.get(path(collection) + f"/d{no}").json()
        assert stored["text"] == [one["text"] for one in lines if one["id"] == f"d{no}"][-1]
        own = [one for one in results if one["id"] == f"d{no}"]
        assert own[-1]["version"] == stored["version"]
    assert truths.half_documents(sql, collection) == []
    assert truths.orphans(sql, collection) == 0


def test_a_client_that_goes_away(shared: services.Service, collection: str):
    """Everything acknowledged is stored, and the service keeps working."""
    with streams.LineStream(shared.port, path(collection)) as stream:
        stream.send(*({"id": f"d{no}", "text": f"boat number {no}"} for no in range(40)))
        first = stream.result()
        stream.send(b'{"id":"half","text":"no end of')
    with shared.client() as client:
        assert client.get(path(collection) + f"/{first['id']}").is_success
        assert client.get(path(collection) + "/half").status_code == 404
        assert client.get("/readyz").is_success
    assert "request_failed" not in shared.output()
    assert "Traceback" not in shared.output()


def test_many_streams_at_once(shared: services.Service, collection: str):
    """Into one collection, with distinct ids and some shared ones."""
    with_ids = [
        [f"s{stream}-{no}" if no % 4 else f"both-{no}" for no in range(60)] for stream in range(6)
    ]
    open_streams = [streams.LineStream(shared.port, path(collection)) for _ in with_ids]
    for stream, ids in zip(open_streams, with_ids, strict=True):
        stream.feed([{"id": id_, "text": f"boat {id_} of {no}"} for no, id_ in enumerate(ids)])
    for stream in open_streams:
        with stream:
            results = list(stream.results())
        assert [item["line"] for item in results] == list(range(1, 61))
        assert "failed" not in {item["status"] for item in results}


def test_unknown_collection_is_refused_before_the_body_is_sent(client: httpx.Client):
    answer = client.post(path("nothing-here"), content=b'{"text":"a"}\n', headers=NDJSON)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_empty_body_has_no_results(client: httpx.Client, collection: str):
    for body in (b"", b"\n\n \n"):
        answer = client.post(path(collection), content=body, headers=NDJSON)
        assert (answer.status_code, answer.text) == (200, "")


def test_unsearchable_texts_fail_alone(client: httpx.Client, collection: str):
    texts: list[Any] = ["a boat", "\u200b", "a bridge", "\ufeff"]
    body = b"".join(streams.encoded({"id": str(no), "text": text}) for no, text in enumerate(texts))
    answer = client.post(path(collection), content=body, headers=NDJSON)
    statuses = [json.loads(line)["status"] for line in answer.text.splitlines()]
    assert statuses == ["created", "failed", "created", "failed"]
    reasons = [json.loads(line).get("reason") for line in answer.text.splitlines()]
    assert reasons == [None, "no-tokens", None, "no-tokens"]


def test_deleting_the_collection_ends_a_stream_with_an_error(
    shared: services.Service, client: httpx.Client, collection: str
):
    with streams.LineStream(shared.port, path(collection)) as stream:
        stream.send({"id": "a", "text": "a boat"})
        assert stream.result()["status"] == "created"
        client.delete(f"/v1/collections/{collection}").raise_for_status()
        stream.send({"id": "b", "text": "a bridge"})
        stream.end()
        error = stream.result()["error"]
    assert (error["status"], error["type"]) == (404, "/problems/unknown-collection")
    assert client.get("/readyz").is_success


def test_finished_streams_leave_no_open_files(shared: services.Service, collection: str):
    """Spools of finished streams are closed."""
    process = psutil.Process(shared.process.pid)
    with shared.client() as client:
        client.post(path(collection), content=b'{"id":"a","text":"a"}\n', headers=NDJSON)
        before = process.num_fds()
        for no in range(20):
            with streams.LineStream(shared.port, path(collection)) as stream:
                stream.send({"id": f"d{no}", "text": "a boat"})
                if no % 2:
                    stream.end()
                    list(stream.results())
        deadline = time.monotonic() + 20
        while process.num_fds() > before + 4:
            assert time.monotonic() < deadline
            time.sleep(0.05)
