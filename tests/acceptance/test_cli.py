"""The command line against a running service, and opening the store itself."""

import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from api.cli import samples as sample_command
from embedding import conversion
from tests import services

Serve = Callable[..., services.Service]
Vecmark = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def vecmark(shared, tmp_path) -> Vecmark:
    """Run a command against the shared service."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return services.run(tmp_path / "unused", *arguments, url=shared.url)

    return run


@pytest.fixture
def notes(tmp_path) -> Path:
    folder = tmp_path / "notes"
    (folder / "sub").mkdir(parents=True)
    (folder / "pond.txt").write_text("Newts live in ponds.")
    (folder / "sub" / "bread.md").write_text("# Bread\n\nBake the dough at 220 degrees.")
    (folder / "music.csv").write_text("id,text,year\nviolin,A violin has four strings,1999\n")
    (folder / "more.jsonl").write_text('{"text": "A hawk hunts by day."}\n')
    return folder


def test_files_are_added_found_and_cost_nothing_again(vecmark, collection, notes):
    added = vecmark("add", str(notes), "--root", str(notes), "-c", collection)
    assert added.returncode == 0, added.stderr
    assert added.stdout.startswith("4 created, 0 failed")
    again = vecmark("add", str(notes), "--root", str(notes), "-c", collection)
    assert again.stdout.startswith("4 unchanged, 0 failed")
    found = json.loads(vecmark("search", "-c", collection, "--json", "string instrument").stdout)
    assert found["results"][0]["id"] == "violin"
    assert found["results"][0]["metadata"] == {"year": "1999"}
    ids = {result["id"] for result in found["results"]}
    assert ids == {"violin", "pond.txt", "sub/bread.md", "more.jsonl#1"}


def test_a_changed_file_is_updated(vecmark, collection, notes):
    arguments = ("add", str(notes / "pond.txt"), "--root", str(notes), "-c", collection)
    vecmark(*arguments)
    (notes / "pond.txt").write_text("Frogs live in ponds.")
    assert vecmark(*arguments).stdout.startswith("1 updated, 0 failed")


def test_bad_records_fail_alone_with_their_place_and_reason(vecmark, collection, tmp_path):
    file = tmp_path / "a.jsonl"
    lines = ['{"id": "good", "text": "A hawk"}', "not json", '{"id": "empty", "text": " "}']
    file.write_text("\n".join(lines))
    done = vecmark("add", str(file), "--root", str(tmp_path), "-c", collection)
    assert done.returncode == 1
    assert done.stdout.startswith("1 created, 2 failed")
    assert "Failed: a.jsonl:2: not JSON" in done.stderr
    assert re.search(r"Failed: a\.jsonl:3: .*empty", done.stderr)


def test_adding_makes_the_collection(vecmark, client, notes):
    done = vecmark("add", str(notes / "pond.txt"), "-c", "made-by-add")
    assert done.returncode == 0, done.stderr
    assert client.get("/v1/collections/made-by-add").json()["documents"] == 1


def test_records_come_by_standard_input(shared, tmp_path, collection, client):
    done = subprocess.run(
        [*services._COMMAND, "add", "-", "-c", collection],
        env=services.environment(tmp_path, url=shared.url),
        input='{"id": "a", "text": "A hawk"}\n',
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith("1 created"), done.stderr
    assert client.get(f"/v1/collections/{collection}/documents/a").json()["text"] == "A hawk"


def test_more_lines_than_fit_a_socket_are_all_acknowledged(vecmark, collection, client, tmp_path):
    file = tmp_path / "many.jsonl"
    lines = (
        json.dumps({"id": str(no), "text": "A hawk", "metadata": {"x": "y" * 900}})
        for no in range(3000)
    )
    file.write_text("\n".join(lines))
    done = vecmark("add", str(file), "-c", collection)
    assert done.stdout.startswith("3,000 created, 0 failed"), done.stderr
    assert client.get(f"/v1/collections/{collection}").json()["documents"] == 3000


def test_a_table_that_can_not_be_read_ends_the_command_midway(vecmark, collection, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": "a", "text": "A hawk"}\n')
    (tmp_path / "b.csv").write_text("id,note\nx,A newt\n")
    done = vecmark("add", str(tmp_path), "--root", str(tmp_path), "-c", collection)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: b.csv: no column text; its columns: id, note")


def test_a_search_says_what_it_found_a_line_each(vecmark, collection, notes):
    vecmark("add", str(notes / "music.csv"), "-c", collection)
    score, document, text = vecmark("search", "-c", collection, "music").stdout.strip().split("\t")
    assert 0 < float(score) < 1
    assert (document, text) == ("violin", "A violin has four strings")


def test_collections_are_made_shown_listed_and_deleted(vecmark):
    made = vecmark("collections", "create", "box", "--chunking", "none")
    assert "embeds with sentence-transformers/all-MiniLM-L6-v2" in made.stdout
    shown = vecmark("collections", "show", "box").stdout
    assert re.search(r"^chunking: +strategy none", shown, re.MULTILINE)
    assert re.search(r"^search: +exact", shown, re.MULTILINE)
    assert re.search(r"^space: +fp1:[0-9a-f]{64}$", shown, re.MULTILINE)
    assert "\nbox\t" in "\n" + vecmark("collections", "list").stdout
    assert "\nbox\t" in "\n" + vecmark("collections").stdout
    assert vecmark("collections", "delete", "box", "--yes").returncode == 0
    assert "\nbox\t" not in "\n" + vecmark("collections", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("collections", "show", "nothing"), "no collection nothing"),
        (("search", "-c", "nothing", "words"), "'nothing'"),
        (("collections", "create", "UPPER"), "name"),
        (("collections", "create", "box2", "--model", "/nowhere"), "/nowhere"),
        (("add", "/nowhere.txt"), "/nowhere.txt: no such file"),
        (("models", "show", "/nowhere"), "/nowhere"),
    ],
)
def test_a_failure_is_one_message_without_a_trace(vecmark, arguments, said):
    done = vecmark(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_service_that_is_not_there_is_named(tmp_path):
    url = f"http://127.0.0.1:{services.free_port()}"
    done = services.run(tmp_path, "search", "words", url=url)
    assert done.returncode == 1
    assert f"no Vecmark answers at {url}" in done.stderr


def test_models_are_listed_with_their_space(vecmark, collection, notes):
    vecmark("add", str(notes / "pond.txt"), "-c", collection)
    listed = vecmark("models", "list").stdout
    assert "sentence-transformers/all-MiniLM-L6-v2\t384\t256\tloaded" in listed
    assert vecmark("models").stdout == listed
    shown = vecmark("models", "show").stdout
    assert re.search(r"^limit: +256 tokens$", shown, re.MULTILINE)
    assert re.search(r"^space: +fp1:[0-9a-f]{64}$", shown, re.MULTILINE)


def test_a_model_is_checked(vecmark, tmp_path, model_cache):
    (tmp_path / "unused").mkdir()
    (tmp_path / "unused" / "cache").symlink_to(model_cache)
    done = vecmark("models", "check")
    assert done.returncode == 0, done.stderr
    assert "vectors of 384 dimensions" in done.stdout
    assert re.search(r"^compared with torch: .* at worst 0\.999\d+", done.stdout, re.MULTILINE)


def test_a_model_that_makes_other_vectors_than_it_did_is_told(vecmark, tmp_path, model_cache):
    cache = tmp_path / "unused" / "cache"
    shutil.copytree(model_cache, cache, copy_function=os.symlink)
    for reference in cache.glob(f"*/{conversion.REFERENCE}"):
        change_reference(reference)
    done = vecmark("models", "check")
    assert done.returncode == 1
    assert "Error: " in done.stderr
    assert "makes other vectors here than with torch" in done.stderr
    assert "; moved: " in done.stdout


def test_an_interrupted_add_is_taken_up_again(home, serve, tmp_path):
    service = serve(home)
    file = tmp_path / "many.jsonl"
    file.write_text(
        "\n".join(
            json.dumps({"id": str(no), "text": f"Note number {no} " * 20}) for no in range(600)
        )
    )
    process = subprocess.Popen(
        [*services._COMMAND, "add", str(file)],
        env=services.environment(home),
        cwd=services.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with service.client() as client:
        wait_for(lambda: client.get("/v1/collections/default").json().get("documents", 0) >= 64)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 1, said
    assert "interrupted; what was acknowledged is kept" in said
    again = services.run(home, "add", str(file))
    assert again.returncode == 0, again.stderr
    counts = {
        word: int(number.replace(",", ""))
        for number, word in re.findall(r"(\d[\d,]*) (\w+)", again.stdout.partition("(")[0])
    }
    assert counts["unchanged"] >= 64
    assert counts["failed"] == 0
    assert sum(counts.values()) == 600


def test_a_store_that_nobody_serves_is_opened_by_the_command(home, model_cache, notes):
    home.mkdir()
    home.chmod(0o711)
    (home / "cache").symlink_to(model_cache)
    added = services.run(home, "add", str(notes))
    assert added.stdout.startswith("4 created, 0 failed"), added.stderr
    found = services.run(home, "search", "-n", "1", "string instrument")
    assert "violin" in found.stdout
    assert not (home / "service.json").exists()
    assert services.postgres_processes(home) == []


def test_a_command_finds_the_service_by_its_data_directory(home, serve):
    service = serve(home)
    said = services.run(home, "doctor").stdout
    assert f"ok    service: answers at {service.url}" in said


def test_sample_documents_are_shown_once_and_stay(home, serve):
    first = serve(home, "--sample")
    wait_for(lambda: "Ctrl+C" in first.said())
    assert "2,000 created, 0 failed" in first.said()
    assert f'vecmark search --collection sample "{sample_command.QUERY}"' in first.said()
    assert first.stop() == 0
    again = serve(home, "--sample")
    wait_for(lambda: "Ctrl+C" in again.said())
    assert f"Vecmark is ready on {again.url}  (collection sample: 2,000 documents)" in again.said()
    assert "created" not in again.said()


def test_a_taken_port_is_told_before_anything_is_started(home):
    port = services.free_port()

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", port))
        sock.listen()
        done = services.run(home, "serve", port=port)
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 is taken by process {os.getpid()}" in done.stderr
    assert f"--port {port + 1}" in done.stderr
    assert not home.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_stops_cleanly(home, serve, number):
    service = serve(home)
    service.process.send_signal(number)
    assert service.process.wait(60) == 0
    assert service.said().rstrip().endswith("Vecmark has stopped.")
    assert services.postgres_processes(home) == []
    assert not (home / "service.json").exists()


def test_a_start_that_can_not_work_says_why(tmp_path):
    url = f"postgresql://nobody@127.0.0.1:{services.free_port()}/nothing"
    done = services.run(tmp_path, "serve", port=services.free_port(), database_url=url)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Error: " in done.stderr


def test_schema_commands(tmp_path, empty_database_url):
    behind = services.run(tmp_path, "db", "current", database_url=empty_database_url)
    assert behind.returncode == 1
    assert "vecmark db upgrade" in behind.stderr
    upgraded = services.run(tmp_path, "db", "upgrade", database_url=empty_database_url)
    assert upgraded.stdout.startswith("Upgraded the schema from nothing to "), upgraded.stderr
    again = services.run(tmp_path, "db", "upgrade", database_url=empty_database_url)
    assert again.stdout.startswith("The schema is current")
    checked = services.run(tmp_path, "db", "check", database_url=empty_database_url)
    assert checked.returncode == 0, checked.stderr


def test_doctor_finds_nothing_wrong_where_nothing_is(tmp_path, database_url, model_cache):
    (tmp_path / "cache").symlink_to(model_cache)
    done = services.run(tmp_path, "doctor", database_url=database_url, port=services.free_port())
    assert done.returncode == 0, done.stdout
    assert "FAIL" not in done.stdout
    for subject in ("data directory", "disk", "port", "database", "pgvector", "schema", "encoder"):
        assert f"ok    {subject}: " in done.stdout


def test_doctor_says_what_to_do(tmp_path, empty_database_url):
    done = services.run(tmp_path, "doctor", database_url=empty_database_url, model="/nowhere")
    assert done.returncode == 1
    assert "FAIL  schema: at nothing" in done.stdout
    assert "-> run `vecmark db upgrade`" in done.stdout
    assert "FAIL  model: there is no directory /nowhere" in done.stdout


def test_a_terminal_gets_a_table_and_a_bar(shared, collection, tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"id": "a", "text": "A [bold]hawk[/bold] hunts"}\n')
    shown = in_terminal(shared, tmp_path, "add", str(file), "-c", collection)
    assert "1/1" in shown
    assert "━" in shown
    shown = in_terminal(shared, tmp_path, "search", "-c", collection, "bird")
    assert "score" in shown
    assert "A [bold]hawk[/bold] hunts" in shown


def change_reference(file: Path) -> None:
    """Let every text have had another one's vector when the model was converted."""
    vectors = np.roll(np.load(file), 1, axis=0)
    file.unlink()
    np.save(file, vectors)
    manifest = file.with_name(conversion.MANIFEST)
    content = json.loads(manifest.read_text())
    content["files"][file.name] = conversion.digest(file)
    manifest.unlink()
    manifest.write_text(json.dumps(content))


def in_terminal(service: services.Service, folder: Path, *arguments: str) -> str:
    """What a command writes to a terminal, without its control sequences."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*services._COMMAND, *arguments],
        env=services.environment(folder, url=service.url) | {"TERM": "xterm", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
        cwd=services.ROOT,
    )
    os.close(follower)
    written = b"".join(output(leader))
    os.close(leader)
    assert process.wait(60) == 0, written
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode())


def output(leader: int) -> Iterator[bytes]:
    while select.select([leader], [], [], 60)[0]:
        try:
            data = os.read(leader, 65536)
        except OSError:  # Linux says so when the last writer has gone
            return
        if not data:
            return
        yield data


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be in 90 s"
        time.sleep(0.05)
