"""Where the embedded PostgreSQL keeps its files, and how their directories are created."""

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from storage.embedded import accounts, configuration, errors, programs

_SOCKET_NAME = f".s.PGSQL.{configuration.PORT}"
# The longest path of a socket, on the stricter of Linux (108) and macOS (104).
_SOCKET_PATH_BYTES = 103


@dataclass(frozen=True)
class Layout:
    """Everything is under `home`, except a socket directory that needs a shorter path."""

    home: Path

    @classmethod
    def under(cls, data_dir: Path) -> "Layout":
        return cls(data_dir.expanduser().resolve() / "postgres")

    @property
    def cluster(self) -> Path:
        return self.home / str(programs.MAJOR)

    @property
    def unfinished(self) -> Path:
        """Where initdb works, so that a cluster appears complete or not at all."""
        return self.home / f"{programs.MAJOR}.new"

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    @property
    def start_lock(self) -> Path:
        return self.home / "start.lock"

    @property
    def users_lock(self) -> Path:
        return self.home / "users.lock"

    @property
    def socket_dir(self) -> Path:
        """Under `home` if that path suits a socket, otherwise somewhere with a short path."""
        inside = self.home / "socket"
        plain = not set(str(inside)) & set(",\"'\\\n")
        if plain and len(os.fsencode(inside / _SOCKET_NAME)) <= _SOCKET_PATH_BYTES:
            return inside
        name = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return _short_dir() / f"vecmark-{os.geteuid()}-{name}"


def _short_dir() -> Path:
    runtime = Path(f"/run/user/{os.geteuid()}")
    if os.geteuid() != 0 and os.access(runtime, os.W_OK):
        return runtime
    fallback = Path(tempfile.gettempdir()).resolve()
    return fallback if len(os.fsencode(fallback)) < 60 else Path("/tmp")  # noqa: S108


def make(layout: Layout, account: accounts.Account) -> None:
    """Create missing directories; existing ones keep their mode.

    If we are root, others can enter the data directory, because PostgreSQL runs as another user.
    """
    try:
        _make_parents(layout.home, 0o755 if account.switch else 0o700)
        if account.switch:
            accounts.check_reachable(layout.home, account)
        if not os.access(layout.home, os.W_OK):
            raise PermissionError(13, "not writable", str(layout.home))
        if layout.cluster.exists():
            _check_owner(layout.cluster, account)
    except OSError as error:
        raise errors.DirectoryUnreachable(
            f"The data directory {layout.home.parent} cannot be used ({error}). Choose another "
            "one (VECMARK_DATA_DIR), or run Vecmark as the user who owns it."
        ) from error


def _make_parents(directory: Path, mode: int) -> None:
    for path in [*reversed(directory.parents), directory]:
        if not path.is_dir():
            path.mkdir(exist_ok=True)
            path.chmod(mode)


def _check_owner(cluster: Path, account: accounts.Account) -> None:
    owner = cluster.stat().st_uid
    if owner != account.uid:
        raise errors.DirectoryUnreachable(
            f"{cluster} belongs to the user id {owner}, but PostgreSQL would run as "
            f"{account.uid} ({account.name}). Start Vecmark as the user who created it, or choose "
            "another data directory (VECMARK_DATA_DIR)."
        )


def write(path: Path, text: str, account: accounts.Account) -> None:
    """Replace a file of `account` atomically, without following links in its directory."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(fresh, flags, 0o600), "w") as file:
        if account.switch:
            os.fchown(file.fileno(), account.uid, account.gid)
        file.write(text)
    fresh.replace(path)


def make_private(directory: Path, account: accounts.Account) -> None:
    """Create `directory` if missing, only for `account`; refuses a link or another owner."""
    if not directory.is_symlink() and not directory.exists():
        directory.mkdir(mode=0o700)
        if account.switch:
            os.chown(directory, account.uid, account.gid)
    status = directory.lstat()
    if stat.S_ISLNK(status.st_mode) or status.st_uid != account.uid or status.st_mode & 0o077:
        raise errors.DirectoryUnreachable(
            f"{directory} must be a directory of the user {account.name} that nobody else can "
            "enter (mode 0700). Remove it, and Vecmark creates it again."
        )
