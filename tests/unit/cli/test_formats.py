"""Documents read from files."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from api.cli import errors, formats


def write(folder: Path, name: str, content: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def records(file: Path, fields: formats.Fields | None = None) -> list[Any]:
    return list(formats.read(file, file.name, fields or formats.Fields()))


def test_json_lines_keep_id_text_and_metadata(tmp_path):
    line = '{"id": "a", "text": "one", "metadata": {"x": 1}}'
    [record] = records(write(tmp_path, "a.jsonl", line + "\n\n"))
    assert record.document == {"id": "a", "text": "one", "metadata": {"x": 1}}


def test_fields_that_are_not_known_become_metadata(tmp_path):
    [record] = records(write(tmp_path, "a.jsonl", '{"_id": 7, "text": "one", "year": 1999}'))
    assert record.document == {"id": "7", "text": "one", "metadata": {"year": 1999}}


def test_several_text_fields_are_joined(tmp_path):
    file = write(tmp_path, "a.jsonl", '{"id": "a", "title": "T", "text": "one"}')
    [record] = records(file, formats.Fields(("title", "text")))
    assert record.document == {"id": "a", "text": "T\none"}


def test_records_without_an_id_are_named_by_file_and_line(tmp_path):
    parsed = records(write(tmp_path, "a.jsonl", '{"text": "one"}\n\n{"text": "two"}\n'))
    assert [record.document["id"] for record in parsed] == ["a.jsonl#1", "a.jsonl#3"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"id": "a"}', "no field text"),
        ('{"text": 5}', "the text is not a string"),
        ('{"id": ["a"], "text": "x"}', "neither a string nor a number"),
        ('{"text": "\\ud800"}', "not UTF-8 text"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_bad_line_names_its_place_and_reason_and_the_next_one_is_read(tmp_path, line, reason):
    bad, good = records(write(tmp_path, "a.jsonl", line + '\n{"text": "two"}'))
    assert bad.place == "a.jsonl:1"
    assert bad.document is None
    assert reason in bad.error
    assert good.document["text"] == "two"


def test_bytes_that_are_no_utf8_fail_alone(tmp_path):
    file = write(tmp_path, "a.jsonl", b'{"text": "\xff"}\n{"text": "two"}\n')
    bad, good = records(file)
    assert bad.error == "not UTF-8 text"
    assert good.document["text"] == "two"


def test_a_table_has_ids_from_its_column_and_the_rest_as_metadata(tmp_path):
    file = write(tmp_path, "a.csv", 'id,text,year\nx,"one\nline",1999\ny,"say ""hi""",\n')
    assert [record.document for record in records(file)] == [
        {"id": "x", "text": "one\nline", "metadata": {"year": "1999"}},
        {"id": "y", "text": 'say "hi"', "metadata": {"year": ""}},
    ]
    assert formats.count(file) == 2


def test_a_table_without_an_id_column_names_its_rows(tmp_path):
    parsed = records(write(tmp_path, "a.csv", "text\none\ntwo\n"))
    assert [record.document["id"] for record in parsed] == ["a.csv#1", "a.csv#2"]


def test_a_table_with_one_column_needs_no_field_name(tmp_path):
    [record] = records(write(tmp_path, "a.csv", "note\none\n"))
    assert record.document["text"] == "one"


def test_a_table_without_a_text_column_names_its_columns(tmp_path):
    with pytest.raises(errors.Failure, match="no column text; its columns: id, note"):
        records(write(tmp_path, "a.csv", "id,note\nx,one\n"))


def test_a_row_of_the_wrong_length_fails_alone(tmp_path):
    bad, good = records(write(tmp_path, "a.csv", "id,text\nx\ny,two\n"))
    assert "1 columns where the header has 2" in bad.error
    assert good.document["id"] == "y"


def test_a_text_file_is_one_document_named_by_its_path(tmp_path):
    [record] = records(write(tmp_path, "a.md", "\ufeff# Title\n\nText"))
    assert record.document == {"id": "a.md", "text": "# Title\n\nText"}


def test_a_file_that_is_not_text_is_reported(tmp_path):
    [record] = records(write(tmp_path, "a.txt", b"\xff\xfe\x00"))
    assert "not UTF-8" in record.error


def test_a_directory_is_searched_for_known_kinds_that_are_not_hidden(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("b.txt", "a.md", "sub/c.JSONL", "d.png", ".git/e.txt"):
        write(tmp_path, name, "x")
    files = [file.relative_to(tmp_path).as_posix() for file in formats.find(tmp_path)]
    assert files == ["a.md", "b.txt", "sub/c.JSONL"]


def test_an_unknown_kind_names_the_supported_ones(tmp_path):
    with pytest.raises(errors.Failure, match=r"unknown file type; use one of \.csv, \.jsonl"):
        formats.find(write(tmp_path, "a.pdf", "x"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(errors.Failure, match="no such file"):
        formats.find(tmp_path / "nothing.txt")


def test_standard_input_leaves_ids_to_the_service(monkeypatch):
    lines = io.BytesIO(b'{"text": "one"}\n{"id": "b", "text": "\xff"}\n')
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(lines))
    parsed: list[Any] = list(formats.read_stdin(formats.Fields()))
    first, second = parsed
    assert first.document == {"text": "one"}
    assert second.error == "not UTF-8 text"


def test_blank_lines_are_not_counted(tmp_path):
    assert formats.count(write(tmp_path, "a.jsonl", '{"text": "a"}\n\n{"text": "b"}')) == 2
