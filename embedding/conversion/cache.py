"""The folder of converted models: one entry for each model, CPU, device and library version."""

import contextlib
import dataclasses
import fcntl
import json
import shutil
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from embedding import errors
from embedding.conversion import child_process, convert
from embedding.encoders import devices
from embedding.model_files import description, int8_graph


def ensure(
    model: description.ModelDescription, *, cache_dir: Path, device: str
) -> tuple[Path, convert.Conversion]:
    """The folder with the converted model; converts it if the entry is missing or damaged.

    Several processes may call this at once: one converts, in a child process, the others wait. A
    model in int8 brings its graph, so its own folder is returned. Raises CanaryMoved,
    ModelInvalid, EncoderFailed.
    """
    if model.int8 is not None:
        return model.directory / int8_graph.FOLDER, _int8_conversion(model, model.int8)
    cache_dir.mkdir(parents=True, exist_ok=True)
    entry = cache_dir / _entry_name(model, device)
    with _lock(cache_dir / f"{entry.name}.lock"):
        conversion = _read(entry)
        if conversion is None:
            _convert(model, entry, device)
            conversion = _read(entry)
    if conversion is None:
        raise errors.EncoderFailed(f"{entry}: the converted model was damaged while it was written")
    return entry, conversion


def forget(model: description.ModelDescription, *, cache_dir: Path) -> None:
    """Delete all conversions of a model that was removed."""
    for entry in cache_dir.glob(f"{_prefix(model)}-*"):
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _int8_conversion(
    model: description.ModelDescription, graph: int8_graph.Int8Graph
) -> convert.Conversion:
    if int8_graph.read(model.directory, of=graph.of).sha256 != graph.sha256:
        raise errors.ModelInvalid(model.directory, "changed while it was being loaded; try again")
    return convert.Conversion(
        backend="openvino",
        dtype="int8",
        reason="the model was added with this precision",
        checks={"when it was quantised": graph.describe()},
        versions=dict(graph.versions),
        files=dict(graph.files),
    )


def _prefix(model: description.ModelDescription) -> str:
    return model.space.fingerprint.partition(":")[2][:32]


def _entry_name(model: description.ModelDescription, device: str) -> str:
    """Holds everything that a conversion depends on, so that no other combination finds it."""
    version = metadata.version("openvino").replace("+", "-")
    return f"{_prefix(model)}-v{convert.VERSION}-openvino{version}-{devices.cpu_kind()}-{device}"


@contextlib.contextmanager
def _lock(file: Path) -> Iterator[None]:
    """Held by one process at a time; the system releases it if that process dies."""
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _read(entry: Path) -> convert.Conversion | None:
    """The conversion in this folder; None if anything in it changed since it was written."""
    try:
        conversion = convert.Conversion(**json.loads((entry / convert.MANIFEST).read_text()))
        intact = all(
            convert.file_digest(entry / name) == digest for name, digest in conversion.files.items()
        )
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return conversion if intact and convert.REFERENCE in conversion.files else None


def _convert(model: description.ModelDescription, entry: Path, device: str) -> None:
    for leftover in entry.parent.glob(f"{entry.name}.*.new"):
        # Of a process that was killed: this one holds the lock.
        shutil.rmtree(leftover, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{entry.name}.", suffix=".new", dir=entry.parent))
    try:
        job = convert.ConversionJob.for_model(model, device)
        child_process.run(convert.__name__, dataclasses.asdict(job), folder)
        shutil.rmtree(entry, ignore_errors=True)
        folder.rename(entry)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
