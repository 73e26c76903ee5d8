"""The account that PostgreSQL runs as: our own, or a system user if we are root."""

import grp
import os
import pwd
import stat
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from storage.embedded import errors, locks

SYSTEM_USER = "vecmark"
_USERADD_S = 10.0
_ACCOUNTS = Path("/etc")


@dataclass(frozen=True)
class Account:
    """`switch` is true if PostgreSQL's processes must be started as another user than ours."""

    name: str
    uid: int
    gid: int
    switch: bool


def current() -> Account:
    """Our own account; for root, which PostgreSQL refuses, the system user, created if missing."""
    if os.geteuid() != 0:
        return Account(str(os.geteuid()), os.geteuid(), os.getegid(), switch=False)
    return _system_user()


def _system_user() -> Account:
    deadline = time.monotonic() + _USERADD_S
    while True:
        try:
            entry = pwd.getpwnam(SYSTEM_USER)
            return Account(SYSTEM_USER, entry.pw_uid, entry.pw_gid, switch=True)
        except KeyError:
            reason = make_system_user(SYSTEM_USER)
        # Another process may hold the lock of /etc/passwd, or may just have created the user.
        if reason and time.monotonic() > deadline:
            raise _missing(reason)
        time.sleep(0.1 if reason else 0)


def make_system_user(name: str) -> str:
    """Create the user. Returns "" if it exists now, otherwise useradd's error."""
    command = ["useradd", "--system", "--user-group", "--no-create-home"]
    command += ["--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", name]
    # useradd looks up the name before it takes its own lock, and replaces a user that another
    # useradd created in between: PostgreSQL's files would then belong to a uid that nobody has.
    with locks.exclusive_directory(_ACCOUNTS):
        if _exists(name):
            return ""
        try:
            result = subprocess.run(
                command, capture_output=True, text=True, timeout=30, check=False
            )
        except FileNotFoundError:
            raise _missing("this system has no useradd") from None
    if result.returncode in (0, 9):  # 9: the name is taken
        return ""
    return result.stderr.strip() or f"useradd ended with {result.returncode}"


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _missing(reason: str) -> errors.AccountMissing:
    return errors.AccountMissing(
        f"PostgreSQL refuses to run as root, and the system user {SYSTEM_USER} could not be "
        f"created ({reason}). Create it yourself (`useradd --system {SYSTEM_USER}`), "
        "or start Vecmark as a user other than root."
    )


def check_reachable(directory: Path, account: Account) -> None:
    """Raises DirectoryUnreachable if `account` cannot enter `directory` or one above it."""
    for parent in [*reversed(directory.parents), directory]:
        if not _can_enter(parent, account):
            raise errors.DirectoryUnreachable(
                f"PostgreSQL runs as the user {account.name}, who cannot enter {parent} "
                f"(mode {stat.filemode(parent.stat().st_mode)}). Choose another data directory "
                "(VECMARK_DATA_DIR), start Vecmark as a user other than root, or open that "
                f"directory yourself (`chmod o+x {parent}`)."
            )


def _can_enter(directory: Path, account: Account) -> bool:
    status = directory.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    groups = {account.gid, *(g.gr_gid for g in grp.getgrall() if account.name in g.gr_mem)}
    if status.st_gid in groups:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
