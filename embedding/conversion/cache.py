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
    """The folder with the converted model, made in a child process where it is missing or damaged.

    Several processes may ask at once: one converts, the others wait. A model in int8 brings its
    graph: its own folder is given. CanaryMoved, ModelInvalid, EncoderFailed.
    """
    if model.int8 is not None:
        return model.directory / int8_graph.FOLDER, _quantised(model, model.int8)
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


def forget(model: description.ModelDescription, *, cache_dir: Path) -> None:
    """Delete what was converted of a model that is no longer there."""
    for entry in cache_dir.glob(f"{_prefix(model)}-*"):
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _quantised(
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


def _name(model: description.ModelDescription, device: str) -> str:
    """All that decides which conversion fits: another one of these never finds this folder."""
    version = metadata.version("openvino").replace("+", "-")
    return f"{_prefix(model)}-v{convert.VERSION}-openvino{version}-{devices.cpu_kind()}-{device}"


@contextlib.contextmanager
def _lock(file: Path) -> Iterator[None]:
    """Held by one process at a time, and let go of by the system if that process dies."""
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _read(entry: Path) -> convert.Conversion | None:
    """What was converted, or None where anything of it is not as it was written."""
    try:
        result = convert.Conversion(**json.loads((entry / convert.MANIFEST).read_text()))
        intact = all(
            convert.digest(entry / name) == digest for name, digest in result.files.items()
        )
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return result if intact and convert.REFERENCE in result.files else None


def _convert(model: description.ModelDescription, entry: Path, device: str) -> None:
    for leftover in entry.parent.glob(f"{entry.name}.*.new"):
        shutil.rmtree(
            leftover, ignore_errors=True
        )  # of a process that was killed: the lock is ours
    folder = Path(tempfile.mkdtemp(prefix=f"{entry.name}.", suffix=".new", dir=entry.parent))
    try:
        job = convert.ConversionJob.of(model, device)
        child_process.run(convert.__name__, dataclasses.asdict(job), folder)
        shutil.rmtree(entry, ignore_errors=True)
        folder.rename(entry)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
