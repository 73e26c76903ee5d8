"""`vecmark add`: a record is stored, unchanged, or fails on its own with location and reason."""

import json
import re
import signal
import subprocess

import pytest

from tests import services, waiting


def test_files_are_added_searchable_and_skipped_when_unchanged(vecmark, collection, notes):
    added = vecmark("add", str(notes), "--root", str(notes), "-c", collection)
    assert added.returncode == 0, added.stderr
    assert added.stdout.startswith("4 created, 0 failed")
    again = vecmark("add", str(notes), "--root", str(notes), "-c", collection)
    assert again.stdout.startswith("4 unchanged, 0 failed")
    answer = json.loads(vecmark("search", "-c", collection, "--json", "string instrument").stdout)
    assert answer["results"][0]["id"] == "violin"
    assert answer["results"][0]["metadata"] == {"year": "1999"}
    ids = {result["id"] for result in answer["results"]}
    assert ids == {"violin", "pond.txt", "sub/bread.md", "more.jsonl#1"}


def test_a_changed_file_is_updated(vecmark, collection, notes):
    arguments = ("add", str(notes / "pond.txt"), "--root", str(notes), "-c", collection)
    vecmark(*arguments)
    (notes / "pond.txt").write_text("Frogs live in ponds.")
    assert vecmark(*arguments).stdout.startswith("1 updated, 0 failed")


def test_bad_records_fail_alone_with_location_and_reason(vecmark, collection, tmp_path):
    file = tmp_path / "a.jsonl"
    lines = ['{"id": "good", "text": "A hawk"}', "not json", '{"id": "empty", "text": " "}']
    file.write_text("\n".join(lines))
    done = vecmark("add", str(file), "--root", str(tmp_path), "-c", collection)
    assert done.returncode == 1
    assert done.stdout.startswith("1 created, 2 failed")
    assert "Failed: a.jsonl:2: not JSON" in done.stderr
    assert re.search(r"Failed: a\.jsonl:3: .*empty", done.stderr)


def test_adding_creates_the_collection(vecmark, client, notes):
    done = vecmark("add", str(notes / "pond.txt"), "-c", "made-by-add")
    assert done.returncode == 0, done.stderr
    assert client.get("/v1/collections/made-by-add").json()["documents"] == 1


def test_records_are_read_from_standard_input(shared, tmp_path, collection, client):
    done = subprocess.run(
        [*services.COMMAND, "add", "-", "-c", collection],
        env=services.environment(tmp_path, url=shared.url),
        input='{"id": "a", "text": "A hawk"}\n',
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith("1 created"), done.stderr
    assert client.get(f"/v1/collections/{collection}/documents/a").json()["text"] == "A hawk"


@pytest.mark.parametrize("source", ["empty.jsonl", "pictures", "-"])
def test_an_empty_input_is_reported(vecmark, collection, tmp_path, source):
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").touch()
    name = source if source == "-" else str(tmp_path / source)
    done = vecmark("add", name, "-c", collection)
    assert done.returncode == 0, done.stderr
    label = "standard input" if source == "-" else name
    assert done.stdout.startswith(f"Nothing to add: no document in {label}")
    assert ("files are read" in done.stdout) is (source == "pictures")


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


def test_an_unreadable_table_aborts_the_command(vecmark, collection, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": "a", "text": "A hawk"}\n')
    (tmp_path / "b.csv").write_text("id,note\nx,A newt\n")
    done = vecmark("add", str(tmp_path), "--root", str(tmp_path), "-c", collection)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: b.csv: no column text; its columns: id, note")


def test_an_interrupted_add_can_be_resumed(home, serve_static, tmp_path):
    service = serve_static(home)
    file = tmp_path / "many.jsonl"
    # Many windows, each stored while later ones are being read.
    lines = (
        json.dumps({"id": str(no), "text": f"Note number {no}", "metadata": {"x": "y" * 900}})
        for no in range(5000)
    )
    file.write_text("\n".join(lines))
    process = subprocess.Popen(
        [*services.COMMAND, "add", str(file)],
        env=services.environment(home),
        cwd=services.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with service.client() as client:
        where = "/v1/collections/default"
        waiting.until(lambda: client.get(where).json().get("documents", 0) >= 64)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 1, output
    assert "interrupted; acknowledged documents are kept" in output
    again = services.run(home, "add", str(file))
    assert again.returncode == 0, again.stderr
    counts = {
        word: int(number.replace(",", ""))
        for number, word in re.findall(r"(\d[\d,]*) (\w+)", again.stdout.partition("(")[0])
    }
    assert counts["unchanged"] >= 64
    assert counts["failed"] == 0
    assert sum(counts.values()) == 5000
