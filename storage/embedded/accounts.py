"""The account that PostgreSQL runs as: our own, or a system user where we are root."""

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
    """`switch` is true where processes have to be started as another user than ours."""

    name: str
    uid: int
    gid: int
    switch: bool


def current() -> Account:
    """Our own account, or as root (PostgreSQL refuses it) the system user, made where missing."""
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
        # Another process may hold the lock of /etc/passwd, or have made the user just now.
        if reason and time.monotonic() > deadline:
            raise _missing(reason)
        time.sleep(0.1 if reason else 0)


def make_system_user(name: str) -> str:
    """Empty if the user exists now, otherwise what useradd said."""
    command = ["useradd", "--system", "--user-group", "--no-create-home"]
    command += ["--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", name]
    # useradd looks for the name before it takes its own lock, and replaces a user that another
    # useradd made in between: PostgreSQL's files then belong to a uid that nobody has.
    with locks.exclusive_directory(_ACCOUNTS):
        if _exists(name):
            return ""
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        except FileNotFoundError:
            raise _missing("this system has no useradd") from None
    if done.returncode in (0, 9):  # 9: the name is taken
        return ""
    return done.stderr.strip() or f"useradd ended with {done.returncode}"


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _missing(reason: str) -> errors.AccountMissing:
    return errors.AccountMissing(
        f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} could not be made "
        f"({reason}). Make it yourself (`useradd --system {SYSTEM_USER}`), or start Vecmark as "
        "a user other than root."
    )


def check_reachable(directory: Path, account: Account) -> None:
    """Raise where `account` cannot pass through `directory` or one above it; changes nothing."""
    for parent in [*reversed(directory.parents), directory]:
        if not _may_pass(parent, account):
            raise errors.DirectoryUnreachable(
                f"PostgreSQL runs as the user {account.name} here, who may not pass through "
                f"{parent} (mode {stat.filemode(parent.stat().st_mode)}). Choose a data directory "
                "elsewhere (VECMARK_DATA_DIR), start Vecmark as a user other than root, or "
                f"open that one directory yourself (`chmod o+x {parent}`)."
            )


def _may_pass(directory: Path, account: Account) -> bool:
    status = directory.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    groups = {account.gid, *(g.gr_gid for g in grp.getgrall() if account.name in g.gr_mem)}
    if status.st_gid in groups:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
