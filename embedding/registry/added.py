"""Adds and removes models: complete copies or downloads, kept with their options."""

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedding import errors
from embedding.conversion import quantization
from embedding.model_files import description, int8_graph
from embedding.registry import hub, sources

PART = ".add-"


@dataclass(frozen=True)
class Added:
    """A model that was added; `new` is False if the same one was already there."""

    model: description.ModelDescription
    new: bool


@dataclass(frozen=True, kw_only=True)
class AddModel:
    """What to add: `source` is a directory, a hub id or "bundled"; `name` None means its own.

    `calibration`: texts for int8; None uses the graph that the directory already has.
    """

    source: str
    name: str | None
    options: description.ModelOptions
    calibration: Sequence[str] | None = None

    @property
    def hub_id(self) -> tuple[str, str | None] | None:
        """The hub id and its revision; None if the source is not on the hub."""
        match = sources.HUB_ID.fullmatch(self.source)
        is_here = self.source in sources.BUNDLED_NAMES or Path(self.source).is_dir()
        return (match["id"], match["revision"]) if match and not is_here else None


def add(request: AddModel, models_dir: Path) -> Added:
    """Add a complete, checked model or nothing; never replaces what already has that name.

    A hub model without a name and options keeps its hub id; anything else gets a local name.
    Raises ModelRefused for a name that can't be used, and what `describe`, `hub.download` and
    `quantization.quantise` do.
    """
    if request.hub_id and request.name is None and request.options == description.ModelOptions():
        return Added(hub.download(*request.hub_id, models_dir), new=True)
    name = check_name(request.name or _default_name(request))
    models_dir.mkdir(parents=True, exist_ok=True)
    with _temporary_folder(models_dir) as part, _source_in_errors(part, request.source):
        revision = _fetch(request, models_dir, part)
        if request.options.precision != "int8" or request.calibration is not None:
            shutil.rmtree(part / int8_graph.FOLDER, ignore_errors=True)  # not requested
        model = description.describe(
            name, part, revision=revision, options=_in_float(request.options)
        )
        source = sources.find_added(name, models_dir)
        if source is not None:
            existing = sources.descriptions.get(source)
            _require_same(existing, model, request)
            return Added(existing, new=False)
        _finish(model, request, part)
        record = sources.AddedRecord(name, request.source, request.options, revision)
        hub.publish(part, models_dir / name, dataclasses.asdict(record), sources.ADDED_RECORD)
    return Added(sources.descriptions.get(_require_added(name, models_dir)), new=True)


def remove(source: sources.ModelSource) -> None:
    """Delete a model; it disappears at once. A process that has it loaded keeps it."""
    trash = Path(tempfile.mkdtemp(prefix=PART, dir=source.directory.parent))
    source.directory.rename(trash / source.directory.name)
    shutil.rmtree(trash)


def check_name(name: str) -> str:
    """The name; ModelRefused if it is invalid or names the bundled model."""
    if not sources.NAME.fullmatch(name):
        raise errors.ModelRefused(
            f"{name!r} can't be a model's name: use up to 63 letters, digits, '.', '_' and '-', the"
            " first a letter or digit; choose another name with --name"
        )
    if name.casefold() in {reserved.casefold() for reserved in sources.BUNDLED_NAMES}:
        raise errors.ModelRefused(
            f"{name} always means the bundled model; choose another name with --name"
        )
    return name


def _default_name(request: AddModel) -> str:
    if request.source in sources.BUNDLED_NAMES:
        return sources.BUNDLED  # `check_name` refuses it, and says what to do
    if request.hub_id is not None:
        return request.hub_id[0].partition("/")[2]
    return Path(request.source).expanduser().resolve().name


def _fetch(request: AddModel, models_dir: Path, part: Path) -> str | None:
    """Copy or download the model's files; returns its commit if it comes from a hub."""
    if request.hub_id is not None:
        try:
            downloaded = sources.resolve(request.source, roots=(), models_dir=models_dir)
        except errors.ModelNotFound:
            return hub.fetch(*request.hub_id, part)
        _copy(downloaded.directory, part)
        return downloaded.revision
    if request.source in sources.BUNDLED_NAMES:
        _copy(sources.bundled_directory(), part)
        return None
    directory = Path(request.source).expanduser()
    if not directory.is_dir():
        raise errors.ModelNotFound(f"there is no directory {directory.absolute()}")
    _copy(directory, part)
    return None


def _copy(directory: Path, part: Path) -> None:
    """Copy only what a model is read from: no code, no weights in other formats."""
    for pattern in (*hub.WANTED, f"{int8_graph.FOLDER}/*"):
        for file in directory.glob(pattern):
            relative = file.relative_to(directory)
            if not file.is_file() or relative.name in (sources.RECORD, sources.ADDED_RECORD):
                continue
            (part / relative).parent.mkdir(exist_ok=True)
            shutil.copyfile(file, part / relative)


def _finish(model: description.ModelDescription, request: AddModel, part: Path) -> None:
    """Quantise the model if requested, and check it as it will be loaded."""
    if request.options.precision != "int8":
        return
    if request.calibration is not None:
        folder = part / int8_graph.FOLDER
        folder.mkdir()
        quantization.quantise(model, request.calibration, folder)
    description.describe(model.name, part, options=request.options)


def _require_same(
    existing: description.ModelDescription, model: description.ModelDescription, request: AddModel
) -> None:
    """Raises ModelRefused if what has the name already is not what would be added."""
    in_float = description.describe(
        existing.name, existing.directory, options=_in_float(existing.options)
    )
    is_same = (
        in_float.space.fingerprint == model.space.fingerprint
        and in_float.query_prompt.text == model.query_prompt.text
        and existing.options == request.options
        and (existing.int8 is None or _is_same_graph(existing.int8, model, request))
    )
    if not is_same:
        raise errors.ModelRefused(
            f"{existing.name} already exists with other content or options; remove it first"
            f" (`vecmark models remove {existing.name}`), or choose another name with --name"
        )


def _is_same_graph(
    existing: int8_graph.Int8Graph, model: description.ModelDescription, request: AddModel
) -> bool:
    if request.calibration is not None:
        return quantization.calibration_digest(request.calibration) == existing.calibration
    return int8_graph.read(model.directory, of=model.space.fingerprint).sha256 == existing.sha256


def _require_added(name: str, models_dir: Path) -> sources.ModelSource:
    source = sources.find_added(name, models_dir)
    if source is None:
        raise errors.ModelNotFound(f"{name} was removed while it was being added")
    return source


def _in_float(options: description.ModelOptions) -> description.ModelOptions:
    return dataclasses.replace(options, precision="float")


@contextlib.contextmanager
def _temporary_folder(models_dir: Path) -> Iterator[Path]:
    part = Path(tempfile.mkdtemp(prefix=PART, dir=models_dir))
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def _source_in_errors(part: Path, source: str) -> Iterator[None]:
    """Make errors name the user's files instead of their copies."""
    try:
        yield
    except errors.ModelInvalid as exc:
        file = Path(str(exc.file).replace(str(part), source))
        raise errors.ModelInvalid(file, exc.reason.replace(str(part), source)) from exc
    except errors.EmbeddingError as exc:
        if str(part) not in str(exc):
            raise
        raise type(exc)(str(exc).replace(str(part), source)) from exc
