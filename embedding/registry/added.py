"""Models that were added: copied or downloaded whole, with the options to load them with."""

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
    """`new` is False where the same was there already."""

    model: description.ModelDescription
    new: bool


@dataclass(frozen=True, kw_only=True)
class AddModel:
    """What to add: a directory or a hub id, under which name (None: its own), to be loaded how.

    `calibration`: texts for int8; None takes the graph that the directory brings.
    """

    source: str
    name: str | None
    options: description.ModelOptions
    calibration: Sequence[str] | None = None

    @property
    def hub_id(self) -> tuple[str, str | None] | None:
        """A model on the hub, and its revision."""
        match = sources.HUB_ID.fullmatch(self.source)
        is_here = self.source in sources.BUNDLED_NAMES or Path(self.source).is_dir()
        return (match["id"], match["revision"]) if match and not is_here else None


def add(wish: AddModel, models_dir: Path) -> Added:
    """Whole and checked, or not there at all. What is there under that name is never replaced.

    A hub model without wishes keeps the hub's name for it; anything else is registered under a name
    of ours. Raises ModelRefused for a name that can't be had, and as `describe`, `hub.download` and
    `quantization.quantise` do.
    """
    if wish.hub_id and wish.name is None and wish.options == description.ModelOptions():
        return Added(hub.download(*wish.hub_id, models_dir), new=True)
    name = check_name(wish.name or _own_name(wish))
    models_dir.mkdir(parents=True, exist_ok=True)
    with _part(models_dir) as part, _named(part, wish.source):
        revision = _fetch(wish, models_dir, part)
        if wish.options.precision != "int8" or wish.calibration is not None:
            shutil.rmtree(part / int8_graph.FOLDER, ignore_errors=True)  # not asked for
        made = description.describe(name, part, revision=revision, options=_in_float(wish.options))
        known = sources.registered(name, models_dir)
        if known is not None:
            return Added(_same(sources.descriptions.get(known), made, wish), new=False)
        _finish(made, wish, part)
        record = sources.AddedRecord(name, wish.source, wish.options, revision)
        hub.publish(part, models_dir / name, dataclasses.asdict(record), sources.REGISTERED)
    return Added(sources.descriptions.get(_registered(name, models_dir)), new=True)


def remove(source: sources.ModelSource) -> None:
    """Take a model away at once; a process that has it loaded keeps what it has."""
    gone = Path(tempfile.mkdtemp(prefix=PART, dir=source.directory.parent))
    source.directory.rename(gone / source.directory.name)
    shutil.rmtree(gone)


def check_name(name: str) -> str:
    """The name; ModelRefused for one that could mean something else."""
    if not sources.NAME.fullmatch(name):
        raise errors.ModelRefused(
            f"{name!r} can't be a model's name: letters, digits, '.', '_' and '-' can (at most 63,"
            " a letter or digit first); give another with --name"
        )
    if name.casefold() in {known.casefold() for known in sources.BUNDLED_NAMES}:
        raise errors.ModelRefused(
            f"{name} always names the bundled model; give another name with --name"
        )
    return name


def _own_name(wish: AddModel) -> str:
    if wish.source in sources.BUNDLED_NAMES:
        return sources.BUNDLED  # refused as a name, with what to do
    if wish.hub_id is not None:
        return wish.hub_id[0].partition("/")[2]
    return Path(wish.source).expanduser().resolve().name


def _fetch(wish: AddModel, models_dir: Path, part: Path) -> str | None:
    """Copy or download what a model is read from; its commit where it comes from a hub."""
    if wish.hub_id is not None:
        try:
            known = sources.resolve(wish.source, roots=(), models_dir=models_dir)
        except errors.ModelNotFound:
            return hub.fetch(*wish.hub_id, part)
        _copy(known.directory, part)
        return known.revision
    if wish.source in sources.BUNDLED_NAMES:
        _copy(sources.bundled(), part)
        return None
    directory = Path(wish.source).expanduser()
    if not directory.is_dir():
        raise errors.ModelNotFound(f"there is no directory {directory.absolute()}")
    _copy(directory, part)
    return None


def _copy(directory: Path, part: Path) -> None:
    """What a model is read from, and nothing else: no code, no weights in other formats."""
    for pattern in (*hub.WANTED, f"{int8_graph.FOLDER}/*"):
        for file in directory.glob(pattern):
            place = file.relative_to(directory)
            if not file.is_file() or place.name in (sources.RECORD, sources.REGISTERED):
                continue
            (part / place).parent.mkdir(exist_ok=True)
            shutil.copyfile(file, part / place)


def _finish(made: description.ModelDescription, wish: AddModel, part: Path) -> None:
    """Quantise where that was asked for, and read it as it will be loaded."""
    if wish.options.precision != "int8":
        return
    if wish.calibration is not None:
        folder = part / int8_graph.FOLDER
        folder.mkdir()
        quantization.quantise(made, wish.calibration, folder)
    description.describe(made.name, part, options=wish.options)


def _same(
    known: description.ModelDescription, made: description.ModelDescription, wish: AddModel
) -> description.ModelDescription:
    """What is there under the name, where it is what would be added; ModelRefused otherwise."""
    had = description.describe(known.name, known.directory, options=_in_float(known.options))
    is_same = (
        had.space.fingerprint == made.space.fingerprint
        and had.query_prompt.text == made.query_prompt.text
        and known.options == wish.options
        and (known.int8 is None or _same_graph(known.int8, made, wish))
    )
    if not is_same:
        raise errors.ModelRefused(
            f"{known.name} is there already with other content or other options; remove it first"
            f" (`vecmark models remove {known.name}`), or give another name with --name"
        )
    return known


def _same_graph(
    known: int8_graph.Int8Graph, made: description.ModelDescription, wish: AddModel
) -> bool:
    if wish.calibration is not None:
        return quantization.calibration_digest(wish.calibration) == known.calibration
    return int8_graph.read(made.directory, of=made.space.fingerprint).sha256 == known.sha256


def _registered(name: str, models_dir: Path) -> sources.ModelSource:
    found = sources.registered(name, models_dir)
    if found is None:
        raise errors.ModelNotFound(f"{name} was removed while it was being added")
    return found


def _in_float(options: description.ModelOptions) -> description.ModelOptions:
    return dataclasses.replace(options, precision="float")


@contextlib.contextmanager
def _part(models_dir: Path) -> Iterator[Path]:
    part = Path(tempfile.mkdtemp(prefix=PART, dir=models_dir))
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def _named(part: Path, source: str) -> Iterator[None]:
    """Let errors name the files that the user knows, not the copies."""
    try:
        yield
    except errors.ModelInvalid as exc:
        file = Path(str(exc.file).replace(str(part), source))
        raise errors.ModelInvalid(file, exc.reason.replace(str(part), source)) from exc
    except errors.EmbeddingError as exc:
        if str(part) not in str(exc):
            raise
        raise type(exc)(str(exc).replace(str(part), source)) from exc
