"""Model directories for tests: variants of the bundled model, and a static model."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from benchmarks import models

Tensors = dict[str, NDArray[Any]]

minilm_directory = models.minilm_directory
wordllama_directory = models.wordllama_directory
write_json = models.write_json


def variant(
    folder: Path,
    *,
    source: Path | None = None,
    configs: Mapping[str, Mapping[str, Any]] | None = None,
    tensors: Callable[[Tensors], Tensors] | None = None,
    remove: tuple[str, ...] = (),
) -> Path:
    """A copy of a model (the bundled one by default) with something changed.

    `configs` merges keys into JSON files (the value `...` removes a key), `tensors` maps the
    weights to others, `remove` deletes files. Unchanged files are hard links: replace such a
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
    """Other weights, so another fingerprint, although WordLlama's vectors agree to six digits."""
    noise = np.random.default_rng(1).uniform(-1e-4, 1e-4, 256).astype(np.float32)
    return {name: tensor * (1 + noise) for name, tensor in tensors.items()}


def load_tensors(folder: Path) -> Tensors:
    return safetensors.numpy.load_file(folder / "model.safetensors")


def save_tensors(folder: Path, tensors: Tensors, *, name: str = "model.safetensors") -> None:
    replacement = folder / f"{name}.new"
    safetensors.numpy.save_file(tensors, replacement, metadata={"format": "pt"})
    os.replace(replacement, folder / name)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)
