"""PostgreSQL's settings for this machine, as the file that postgresql.conf includes."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from host import cpu

PORT = 5432  # only part of the socket's name: nothing listens on the network
_MIB = 1 << 20
_GIB = 1 << 30


def settings(socket_dir: Path, *, memory: int, overrides: Mapping[str, str]) -> dict[str, str]:
    """What differs from PostgreSQL's defaults, sized for `memory` bytes; `overrides` win."""
    build_memory = max(64 * _MIB, min(_GIB, memory // 16))
    return {
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": f'"{socket_dir}"',
        "unix_socket_permissions": "0700",
        "shared_preload_libraries": "vector",
        "shared_buffers": _megabytes(max(64 * _MIB, min(256 * _MIB, memory // 16))),
        # HNSW builds are many times faster in memory: 120,000 x 384 halfvec needs about 250 MB.
        "maintenance_work_mem": _megabytes(build_memory),
        "max_parallel_maintenance_workers": str(max(1, min(4, cpu.count()))),
        "dynamic_shared_memory_type": _dynamic_shared_memory(build_memory),
        "random_page_cost": "1.1",
        "jit": "off",
        # Fewer forced checkpoints during bulk loads. fsync and full_page_writes stay on.
        "max_wal_size": "2GB",
        "checkpoint_timeout": "15min",
        "wal_compression": "on",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
        # Keeps documents' texts out of the log: details and COPY's context would quote them.
        "log_error_verbosity": "terse",
        "log_parameter_max_length_on_error": "0",
        **overrides,
    }


def render(values: Mapping[str, str]) -> str:
    lines = ["# Written at every start: changes here are lost, those by ALTER SYSTEM are kept."]
    lines += [f"{name} = '{_quoted(value)}'" for name, value in values.items()]
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def _megabytes(size: int) -> str:
    return f"{size // _MIB}MB"


def _dynamic_shared_memory(build_memory: int) -> str:
    """The kind that a parallel HNSW build can take all its memory from.

    Containers often have only 64 MB of POSIX shared memory.
    """
    try:
        free = shutil.disk_usage("/dev/shm").free  # noqa: S108 - measured, not written to
    except OSError:
        return "posix"
    if free >= build_memory + 128 * _MIB:
        return "posix"
    try:
        largest = int(Path("/proc/sys/kernel/shmmax").read_text())
    except OSError:
        return "mmap"
    return "sysv" if largest >= build_memory else "mmap"
