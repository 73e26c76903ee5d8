"""What commands print, and the messages of failures."""

import json
import sys
from pathlib import Path

import pytest

from api.cli import errors, output, progress, search, tables
from api.schemas.common import SpaceName
from api.schemas.search import ResultChunk, SearchResponse, SearchResult


def test_a_pipe_gets_tab_separated_lines(capsys):
    tables.show(("a", "b"), [("one\ntwo", 3), ("[red]", "x")])
    assert capsys.readouterr().out == "one two\t3\n[red]\tx\n"


def test_hits_are_shortened_to_a_line(capsys):
    chunk = ResultChunk(no=0, start=0, end=1000, text="word " * 200)
    result = SearchResult(id="a", score=0.5, metadata={}, chunk=chunk)
    search.show_results(response([result]))
    score, document, excerpt = capsys.readouterr().out.rstrip("\n").split("\t")
    assert (score, document) == ("0.500", "a")
    assert len(excerpt) <= search.TEXT_LENGTH
    assert excerpt.endswith("word…")


def test_a_search_without_hits_says_so(capsys):
    search.show_results(response([]))
    assert capsys.readouterr().out == "Nothing found.\n"


def response(results: list[SearchResult]) -> SearchResponse:
    return SearchResponse(
        collection="default",
        space=SpaceName(id="fp1:a", model="bundled"),
        index=1,
        results=results,
        complete=True,
        path="exact",
    )


@pytest.mark.parametrize(
    ("value", "expected"), [(5.4, "5 s"), (65, "1 min 05 s"), (7300, "2 h 01 min")]
)
def test_seconds(value, expected):
    assert output.seconds(value) == expected


def test_a_problem_is_shown_with_its_fields():
    problem = {"detail": "the body is wrong", "errors": [{"field": "text", "detail": "is empty"}]}
    failure = errors.from_problem(422, json.dumps(problem).encode())
    assert failure.message == "the body is wrong\n  text: is empty"


def test_an_answer_that_is_not_a_problem_is_shown_by_its_status():
    assert "502" in errors.from_problem(502, b"<html>").message
    assert "404" in errors.from_problem(404, b"[]").message


@pytest.mark.parametrize("status", [500, 503])
def test_a_failing_service_may_be_tried_again(status):
    assert isinstance(errors.from_problem(status, b'{"detail": "stopping"}'), errors.Unavailable)
    assert not isinstance(errors.from_problem(409, b"{}"), errors.Unavailable)


def test_progress_without_a_terminal_says_rate_and_time_left(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    with progress.show("Adding", 2) as bar:
        bar.advance()
    printed = capsys.readouterr().err
    assert printed.startswith("Adding: 1 of 2 documents, ")
    assert printed.rstrip().endswith("left")


@pytest.fixture
def installed(tmp_path, monkeypatch) -> Path:
    """The command of an environment in the present folder, as `make install` makes one."""
    command = tmp_path / ".venv" / "bin" / "vecmark"
    command.parent.mkdir(parents=True)
    command.touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(command.with_name("python")))
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.chdir(tmp_path)
    return command


def test_a_command_off_the_path_is_named_by_its_file(installed, tmp_path, monkeypatch):
    assert output.command() == ".venv/bin/vecmark"
    (tmp_path / "a folder").mkdir()
    monkeypatch.chdir(tmp_path / "a folder")
    assert output.command() == str(installed)


def test_a_command_on_the_path_is_named_alone(installed, tmp_path, monkeypatch):
    linked = tmp_path / "bin" / "vecmark"
    linked.parent.mkdir()
    linked.symlink_to(installed)
    monkeypatch.setenv("PATH", str(linked.parent))
    assert output.command() == "vecmark"


def test_another_installation_on_the_path_is_not_suggested(installed, tmp_path, monkeypatch):
    other = tmp_path / "other" / "vecmark"
    other.parent.mkdir()
    other.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(other.parent))
    assert output.command() == ".venv/bin/vecmark"
