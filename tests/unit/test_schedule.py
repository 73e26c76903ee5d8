"""The order of test files: what it names exists, and whole groups run longest first."""

from pathlib import Path

from tests import schedule

ROOT = Path(__file__).parents[2]


def test_every_path_in_it_exists():
    paths = [*schedule.TOGETHER, *schedule.SECONDS]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_a_group_is_a_file_or_a_folder_of_files_that_share_fixtures():
    assert schedule.group("tests/unit/test_a.py::test_b[c::d]") == "tests/unit/test_a.py"
    for folder in schedule.TOGETHER:
        assert schedule.group(f"{folder}/deep/test_a.py::test_b") == folder
        assert schedule.group(f"{folder}_too/test_a.py::test_b") == f"{folder}_too/test_a.py"


def test_the_slowest_run_first():
    ranks = [schedule.rank(f"{path}::test_a") for path in schedule.SECONDS]
    assert ranks == sorted(ranks)
    assert ranks[-1] < schedule.rank("tests/unit/test_schedule.py::test_a")
