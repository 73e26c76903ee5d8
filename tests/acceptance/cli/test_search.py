"""`vecmark search`, in a pipe and in a terminal."""

import os
import pty
import re
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests import services


def test_a_search_prints_one_line_per_hit(vecmark, collection, notes):
    vecmark("add", str(notes / "music.csv"), "-c", collection)
    score, document, text = vecmark("search", "-c", collection, "music").stdout.strip().split("\t")
    assert 0 < float(score) < 1
    assert (document, text) == ("violin", "A violin has four strings")


def test_a_terminal_gets_a_table_and_a_bar(shared, collection, tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"id": "a", "text": "A [bold]hawk[/bold] hunts"}\n')
    screen = in_terminal(shared, tmp_path, "add", str(file), "-c", collection)
    assert "1/1" in screen
    assert "━" in screen
    screen = in_terminal(shared, tmp_path, "search", "-c", collection, "bird")
    assert "score" in screen
    assert "A [bold]hawk[/bold] hunts" in screen


def in_terminal(service: services.Service, folder: Path, *arguments: str) -> str:
    """What a command writes to a terminal, without control sequences."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*services.COMMAND, *arguments],
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
        except OSError:  # Linux raises this once the last writer has closed
            return
        if not data:
            return
        yield data
