"""The cache of converted models that test runs share: who finds it, and what is deleted of it."""

import fcntl
import os
from pathlib import Path

import pytest

from embedding.conversion import convert
from tests import model_cache


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / f"vecmark-test-models-{os.geteuid()}"


def fill(folder: Path, *, size: int, used: float) -> Path:
    """A folder of an earlier run, last used at that time."""
    with model_cache._in_use(folder):
        (folder / "content").write_bytes(b"\0" * size)
    os.utime(folder / model_cache._LOCK, (used, used))
    return folder


def test_the_next_run_finds_what_this_one_left(tmp_path, home):
    with model_cache.open_folder(tmp_path) as first, model_cache.open_folder(tmp_path) as beside:
        assert first == beside
        (first / "entry").touch()
    with model_cache.open_folder(tmp_path) as second:
        assert (second / "entry").exists()
    assert home.stat().st_mode & 0o777 == 0o700


def test_other_code_or_libraries_get_another_folder(tmp_path, monkeypatch):
    with model_cache.open_folder(tmp_path) as first:
        pass
    monkeypatch.setattr(model_cache, "CODE", model_cache.CODE[1:])
    with model_cache.open_folder(tmp_path) as other_code:
        assert other_code != first
    monkeypatch.undo()
    monkeypatch.setattr(convert, "library_versions", lambda libraries: {"torch": "0"})
    with model_cache.open_folder(tmp_path) as other_library:
        assert other_library not in (first, other_code)


def test_the_longest_unused_goes_and_what_is_in_use_stays(tmp_path):
    used, old, older = (
        fill(tmp_path / name, size=100, used=when)
        for name, when in (("used", 1), ("old", 3), ("older", 2))
    )
    with model_cache._in_use(used):
        os.utime(used / model_cache._LOCK, (1, 1))
        model_cache.limit(tmp_path, 1000)
        assert sorted(tmp_path.iterdir()) == [old, older, used]
        model_cache.limit(tmp_path, 200)
        assert sorted(tmp_path.iterdir()) == [old, used]
        model_cache.limit(tmp_path, 0)
        assert sorted(tmp_path.iterdir()) == [used]
    model_cache.limit(tmp_path, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_waited_for_a_deletion_starts_afresh(tmp_path, monkeypatch):
    folder = fill(tmp_path / "folder", size=100, used=1)
    lock, deletes = fcntl.flock, [True]

    def delete_meanwhile(handle, operation):
        if deletes and operation == fcntl.LOCK_SH:
            deletes.clear()
            model_cache.limit(tmp_path, 0)
        lock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", delete_meanwhile)
    with model_cache._in_use(folder):
        assert not deletes
        assert [file.name for file in folder.iterdir()] == [model_cache._LOCK]
        model_cache.limit(tmp_path, 0)
        assert folder.exists()


@pytest.mark.parametrize("taken", ["file", "link"])
def test_a_name_that_is_taken_is_left_alone(tmp_path, home, taken):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    home.touch() if taken == "file" else home.symlink_to(elsewhere)
    with model_cache.open_folder(tmp_path) as folder:
        assert home not in folder.parents
    assert not folder.exists()
    assert list(elsewhere.iterdir()) == []
