import contextlib
import dataclasses
import fcntl
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import embedding
from embedding import conversion, cpu, description, errors

TIMEOUT_S = 3600


def ensure(
    model: description.ModelDescription, *, cache_dir: Path, device: str
) -> tuple[Path, conversion.Result]:
    """The folder with the converted model, made in a child process where it is missing or damaged.

    Several processes may ask at once: one converts, the others wait. CanaryMoved, EncoderFailed.
    """
    cache_dir.mkdir(parents=True, exist_ok=True)
    entry = cache_dir / _name(model, device)
    with _lock(cache_dir / f"{entry.name}.lock"):
        found = _read(entry)
        if found is None:
            _convert(model, entry, device)
            found = _read(entry)
    if found is None:
        raise errors.EncoderFailed(f"{entry}: the converted model was damaged while it was written")
    return entry, found


def _name(model: description.ModelDescription, device: str) -> str:
    """All that decides which conversion fits: another one of these never finds this folder."""
    space = model.space.fingerprint.partition(":")[2][:32]
    version = metadata.version("openvino").replace("+", "-")
    return f"{space}-v{conversion.VERSION}-openvino{version}-{cpu.kind()}-{device}"


@contextlib.contextmanager
def _lock(file: Path) -> Iterator[None]:
    """Held by one process at a time, and let go of by the system if that process dies."""
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _read(entry: Path) -> conversion.Result | None:
    """What was converted, or None where anything of it is not as it was written."""
    try:
        result = conversion.Result(**json.loads((entry / conversion.MANIFEST).read_text()))
        intact = all(
            conversion.digest(entry / name) == digest for name, digest in result.files.items()
        )
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return result if intact and conversion.REFERENCE in result.files else None


def _convert(model: description.ModelDescription, entry: Path, device: str) -> None:
    for leftover in entry.parent.glob(f"{entry.name}.*.new"):
        shutil.rmtree(
            leftover, ignore_errors=True
        )  # of a process that was killed: the lock is ours
    folder = Path(tempfile.mkdtemp(prefix=f"{entry.name}.", suffix=".new", dir=entry.parent))
    try:
        _run(conversion.Job.of(model, device), folder)
        shutil.rmtree(entry, ignore_errors=True)
        folder.rename(entry)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(job: conversion.Job, folder: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-m", conversion.__name__, str(folder)],
        # `-m` looks in the working directory first: the child runs the same code as this process.
        cwd=Path(embedding.__file__).parent.parent,
        input=json.dumps(dataclasses.asdict(job)),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if child.returncode == 0:
        return
    last = (child.stderr.strip().splitlines() or ["no message"])[-1]
    kind, _, reason = last.partition(": ")
    if kind == errors.CanaryMoved.__name__:
        raise errors.CanaryMoved(reason)
    raise errors.EncoderFailed(
        f"{job.name}: the conversion ended with status {child.returncode}: {last}"
    )
