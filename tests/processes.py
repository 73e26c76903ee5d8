"""Processes that a test kills, or that must outlive what it does."""

import contextlib
import subprocess
from collections.abc import Iterator

import psutil

from storage.embedded import accounts
from tests import waiting


def kill(pid: int | None) -> None:
    """kill -9, and wait until it is dead: whose child it is may leave it unreaped for a while."""
    assert pid is not None
    process = psutil.Process(pid)
    process.kill()
    waiting.until(
        lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, within_s=30
    )


@contextlib.contextmanager
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the user that PostgreSQL runs as, but not PostgreSQL."""
    account = accounts.current()
    process = subprocess.Popen(
        ["sleep", "600"],
        cwd="/",
        user=account.uid if account.switch else None,
        group=account.gid if account.switch else None,
        extra_groups=[] if account.switch else None,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
