"""`vecmark doctor`: findings that need neither a service nor a database."""

import collections
import shutil
from pathlib import Path

import pytest

from api.cli import doctor

Usage = collections.namedtuple("Usage", ("total", "used", "free"))


@pytest.mark.parametrize(
    ("free", "level", "size"),
    [
        (5_000_000_000, "ok", "5 GB free"),
        (2**30, "warn", "1.1 GB free"),
        (100_000_000, "fail", "100 MB free"),
    ],
)
def test_free_space_is_shown_in_decimal_units(tmp_path, monkeypatch, free, level, size):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free, 0, free))
    finding = doctor._check_disk(tmp_path / "data")
    assert finding.level == level
    assert finding.message == f"{size} for {tmp_path / 'data'}"


def test_a_data_directory_that_does_not_exist_yet_will_be_created(tmp_path: Path):
    finding = doctor._check_data_dir(tmp_path / "a" / "b")
    assert (finding.level, finding.message) == ("ok", f"{tmp_path / 'a' / 'b'} will be created")
    assert doctor._check_data_dir(tmp_path).message == f"{tmp_path} is writable"
