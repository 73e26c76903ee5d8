"""Processes that a test kills, or that must survive what it does."""

import contextlib
import subprocess
from collections.abc import Iterator

import psutil

from storage.embedded import accounts
from tests import waiting


def kill(pid: int | None) -> None:
    """kill -9, and wait until it is dead or a zombie: its parent may reap it late."""
    assert pid is not None
    process = psutil.Process(pid)
    process.kill()
    waiting.until(
        lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, within_s=30
    )


@contextlib.contextmanager
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is not PostgreSQL but belongs to the user that PostgreSQL runs as."""
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
