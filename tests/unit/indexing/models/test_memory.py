"""What a process may use: the machine's memory, or less where a cgroup says so."""

from pathlib import Path

import psutil
import pytest

from indexing.models import memory

MACHINE = psutil.virtual_memory().total


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cgroup"


def available(root: Path, line: str, limits: dict[str, str]) -> int:
    proc = root.parent / "proc"
    proc.write_text(f"{line}\n")
    for name, value in limits.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{value}\n")
    return memory.available(proc, root)


def test_the_least_limit_above_counts(root: Path) -> None:
    limits = {"a/b/memory.max": "max", "a/memory.max": "2000", "memory.max": "3000"}
    assert available(root, "0::/a/b", limits) == 2000


def test_a_container_finds_its_limit_at_the_root(root: Path) -> None:
    assert available(root, "0::/of/the/host", {"memory.max": "4000"}) == 4000


def test_the_older_cgroups_are_read_too(root: Path) -> None:
    limits = {"memory/a/memory.limit_in_bytes": "5000"}
    assert available(root, "7:cpu,memory:/a", limits) == 5000


def test_without_a_limit_it_is_the_machine(root: Path) -> None:
    assert available(root, "0::/a", {"a/memory.max": "max"}) == MACHINE
    assert memory.available(root / "nothing", root) == MACHINE
