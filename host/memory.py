"""The memory that this process may use."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil


def available(
    membership: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> int:
    """Bytes that this process may use: the physical memory, or less if a cgroup limits it.

    `membership` is the file that names the process's cgroups, `root` is where they are mounted.
    """
    return min([int(psutil.virtual_memory().total), *_limits(membership, root)])


def _limits(membership: Path, root: Path) -> Iterator[int]:
    """The limits of the process's cgroup and of every cgroup above it, for cgroups v1 and v2."""
    with contextlib.suppress(OSError):
        for line in membership.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                yield from _limits_upwards(root, path, "memory.max")
            elif "memory" in controllers.split(","):
                yield from _limits_upwards(root / "memory", path, "memory.limit_in_bytes")


def _limits_upwards(root: Path, path: str, filename: str) -> Iterator[int]:
    # In a container the path can be the host's, which does not exist there: the container's own
    # limit is then at the root.
    cgroup = root / path.lstrip("/")
    for folder in (cgroup, *cgroup.parents):
        with contextlib.suppress(OSError, ValueError):  # ValueError: "max" means no limit
            yield int((folder / filename).read_text())
        if folder == root:
            return
