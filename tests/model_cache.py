"""Converted models that outlive a test run: each model is converted once for all runs of a user.

The product's cache keys an entry by the model, and verifies it. What else decides a conversion's
result names the folder: the code that converts, and the installed libraries.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import embedding
from embedding.conversion import convert, quantization

# The parts of `embedding` that take part in a conversion.
CODE = ("canaries", "conversion", "encoders", "model_files", "text")
# One run leaves 180 MB.
MOST_BYTES = 1024**3
_LOCK = "in-use.lock"


@contextlib.contextmanager
def open_folder(parent: Path) -> Iterator[Path]:
    """A folder for converted models that the next run finds again; several runs may share it.

    While this user's folders exceed MOST_BYTES, those that no run uses are deleted, the longest
    unused first.
    """
    home = _home(parent)
    if home is None:
        with tempfile.TemporaryDirectory(dir=parent, prefix="vecmark-test-models-") as own:
            yield Path(own)
        return
    limit(home, MOST_BYTES)
    folder = home / key()
    with _in_use(folder):
        models = folder / "models"
        models.mkdir(exist_ok=True)
        yield models


def key() -> str:
    """Changes with the code and the libraries that convert models."""
    versions = sorted(convert.library_versions(quantization.LIBRARIES).items())
    digest = hashlib.sha256(repr(versions).encode())
    package = Path(embedding.__file__).parent
    for file in sorted(file for part in CODE for file in (package / part).rglob("*.py")):
        digest.update(f"\0{file.relative_to(package)}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def limit(home: Path, most_bytes: int) -> None:
    """Delete folders that no run uses, the longest unused first, until the rest fits."""
    sizes = {folder: _size(folder) for folder in home.iterdir() if folder.is_dir()}
    for folder in sorted(sizes, key=_last_use):
        if sum(sizes.values()) <= most_bytes:
            return
        with contextlib.suppress(OSError), (folder / _LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Renamed first: a run that starts now finds nothing rather than half of it.
            deleted = folder.rename(tempfile.mkdtemp(dir=home, prefix="deleted-"))
            shutil.rmtree(deleted)
            del sizes[folder]


def _home(parent: Path) -> Path | None:
    """A folder that only this user can enter; None if its name belongs to somebody else."""
    home = parent / f"vecmark-test-models-{os.geteuid()}"
    with contextlib.suppress(FileExistsError):
        home.mkdir(mode=0o700)
    status = home.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        return None
    home.chmod(0o700)
    return home


@contextlib.contextmanager
def _in_use(folder: Path) -> Iterator[None]:
    """Keep other runs from deleting the folder, which is created if it is missing."""
    with contextlib.ExitStack() as stack:
        while True:
            folder.mkdir(exist_ok=True)
            try:
                lock = stack.enter_context((folder / _LOCK).open("a"))
                fcntl.flock(lock, fcntl.LOCK_SH)
                # Another run may have deleted the folder before this one held the lock.
                if os.path.samestat(os.fstat(lock.fileno()), (folder / _LOCK).stat()):
                    break
            except FileNotFoundError:
                continue
        os.utime(folder / _LOCK)
        yield


def _last_use(folder: Path) -> float:
    try:
        return (folder / _LOCK).stat().st_mtime
    except OSError:
        return 0.0


def _size(folder: Path) -> int:
    total = 0
    for directory, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(directory, name)).st_size
    return total
