"""How much memory a process may use: the machine's, or less if a cgroup limits it."""

from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from host import memory

MACHINE = psutil.virtual_memory().total
# What cgroup v1 shows for "no limit": the largest multiple of a page below 2^63.
V1_UNLIMITED = 9223372036854771712


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cgroup"


def available(root: Path, membership: str, limits: Mapping[str, object]) -> int:
    """With the content of /proc/self/cgroup, and the limits by their files' paths below `root`."""
    file = root.parent / "membership"
    file.write_text(f"{membership}\n")
    for path, limit in limits.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"{limit}\n")
    return memory.available(file, root)


def test_the_lowest_limit_of_all_parent_cgroups_counts(root: Path) -> None:
    limits = {"a/b/memory.max": "max", "a/memory.max": 2000, "memory.max": 3000}
    assert available(root, "0::/a/b", limits) == 2000


def test_its_own_limit_counts_if_it_is_the_lowest(root: Path) -> None:
    limits = {"a/b/memory.max": 1000, "a/memory.max": 2000, "a/other/memory.max": 10}
    assert available(root, "0::/a/b", limits) == 1000


def test_a_container_finds_its_limit_at_the_root(root: Path) -> None:
    assert available(root, "0::/of/the/host", {"memory.max": 4000}) == 4000


def test_cgroup_v1_is_read_too_with_the_cgroups_above(root: Path) -> None:
    limits = {
        "memory/a/b/memory.limit_in_bytes": V1_UNLIMITED,
        "memory/a/memory.limit_in_bytes": 5000,
        "memory/memory.limit_in_bytes": V1_UNLIMITED,
    }
    assert available(root, "7:cpu,memory:/a/b", limits) == 5000


def test_both_versions_can_be_mounted_at_once(root: Path) -> None:
    limits = {"memory/a/memory.limit_in_bytes": 6000, "b/memory.max": 7000}
    assert available(root, "4:memory:/a\n0::/b", limits) == 6000


def test_other_controllers_have_no_say(root: Path) -> None:
    limits = {"memory/a/memory.limit_in_bytes": 5000}
    assert available(root, "3:cpu,cpuacct:/a", limits) == MACHINE


@pytest.mark.parametrize(
    ("membership", "path", "limit"),
    [
        ("0::/a", "a/memory.max", "max"),
        ("9:memory:/a", "memory/a/memory.limit_in_bytes", V1_UNLIMITED),
    ],
)
def test_without_a_limit_it_is_the_memory_of_the_machine(
    root: Path, membership: str, path: str, limit: int | str
) -> None:
    assert available(root, membership, {path: limit}) == MACHINE


def test_without_cgroups_it_is_the_memory_of_the_machine(root: Path) -> None:
    assert memory.available(root / "missing", root) == MACHINE
