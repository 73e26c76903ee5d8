"""Downloads models from the hub."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from embedding import errors
from embedding.model_files import description
from embedding.registry import sources

# Only what a sentence-transformers model is read from: no second copy of the weights in another
# format, and no code.
WANTED = (
    "*.json",
    "*.safetensors",
    "README.md",
    "LICENSE*",
    "*/*.json",
    "*/*.safetensors",
)
UNWANTED = ("onnx/*", "openvino/*", "coreml/*", "tf_model*", "flax_model*", ".*")


def download(
    model_id: str,
    revision: str | None,
    models_dir: Path,
    *,
    options: description.ModelOptions | None = None,
) -> description.ModelDescription:
    """Download one commit of a model into models_dir: complete and checked, or nothing.

    Raises ModelUnavailable if the hub can't be reached or the model is gated, ModelNotFound if
    the hub doesn't have it.
    """
    if not (match := sources.HUB_ID.fullmatch(model_id)) or match["revision"]:
        raise errors.ModelNotFound(f"{model_id!r} is not a hub id such as {sources.BUNDLED_ID}")
    commit = _resolve_commit(model_id, revision)
    target = models_dir / sources.hub_folder(model_id, commit)
    name = f"{model_id}@{revision}" if revision else model_id
    if not (target / sources.RECORD).is_file():
        models_dir.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".download-", dir=models_dir))
        try:
            fetch(model_id, commit, part)
            description.describe(name, part, revision=commit, options=options)
            publish(part, target, {"id": model_id, "revision": commit, "asked": revision})
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return description.describe(name, target, revision=commit, options=options)


def _resolve_commit(model_id: str, revision: str | None) -> str:
    """The commit, 40 hex digits, that a branch or tag now refers to."""
    if revision and sources.COMMIT.fullmatch(revision):
        return revision
    import huggingface_hub  # noqa: PLC0415 - 0.4 s, and only a download needs it

    try:
        commit = huggingface_hub.HfApi().model_info(model_id, revision=revision).sha
    except Exception as exc:
        raise translate_error(model_id, revision, exc) from exc
    if not commit:
        raise errors.ModelUnavailable(f"the hub returned no commit for {model_id}")
    return str(commit)


def fetch(model_id: str, revision: str | None, part: Path) -> str:
    """Download a model's files into an empty folder; returns the commit. ModelUnavailable."""
    commit = _resolve_commit(model_id, revision)
    import huggingface_hub  # noqa: PLC0415

    try:
        huggingface_hub.snapshot_download(
            model_id,
            revision=commit,
            local_dir=part,
            allow_patterns=list(WANTED),
            ignore_patterns=list(UNWANTED),
        )
    except Exception as exc:
        raise translate_error(model_id, commit, exc) from exc
    shutil.rmtree(part / ".cache", ignore_errors=True)  # the hub client's bookkeeping
    return commit


def publish(
    part: Path, target: Path, record: Mapping[str, object], name: str = sources.RECORD
) -> None:
    """Make a complete folder visible in one step: everything is on disk before the rename.

    `name` is the record's file. Raises ModelRefused if another process was faster.
    """
    (part / name).write_text(json.dumps(record, indent=2))
    part.chmod(0o755)  # mkdtemp lets only its owner in
    for file in sorted(part.rglob("*")):
        _sync(file)
    _sync(part)
    if target.exists() and name == sources.RECORD and not (target / name).exists():
        shutil.rmtree(target)  # left by an interrupted download: only downloads have such names
    try:
        part.rename(target)
    except OSError as exc:
        if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise errors.ModelRefused(
            f"the folder {target} already exists; choose another name with --name"
        ) from exc
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def translate_error(model_id: str, revision: str | None, exc: Exception) -> errors.EmbeddingError:
    """The hub client's error as one of ours, with what to do about it."""
    import huggingface_hub.errors as hub_errors  # noqa: PLC0415

    name = f"{model_id}@{revision}" if revision else model_id
    if isinstance(exc, hub_errors.GatedRepoError):
        return errors.ModelUnavailable(
            f"{name} is gated: accept its terms on the hub and set HF_TOKEN to your token"
        )
    if isinstance(exc, hub_errors.RevisionNotFoundError):
        return errors.ModelNotFound(f"the hub has {model_id}, but no revision {revision}")
    if isinstance(exc, hub_errors.RepositoryNotFoundError):
        return errors.ModelNotFound(
            f"the hub has no model {model_id}; a private model needs HF_TOKEN"
        )
    if isinstance(exc, hub_errors.OfflineModeIsEnabled):
        return errors.ModelUnavailable(
            f"{name} can't be downloaded: HF_HUB_OFFLINE is set; unset it, or copy the model's"
            " directory to this machine and use its path"
        )
    return errors.ModelUnavailable(
        f"{name} can't be downloaded: {type(exc).__name__}: {exc}; if this machine can't reach"
        " the hub, copy the model's directory to it and use its path"
    )
