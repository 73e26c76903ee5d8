"""`vecmark models`."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np

from embedding.conversion import convert
from embedding.model_files import description
from tests import models


def test_models_are_listed_with_their_space(vecmark, collection, notes):
    vecmark("add", str(notes / "pond.txt"), "-c", collection)
    listed = vecmark("models", "list").stdout
    assert "sentence-transformers/all-MiniLM-L6-v2\t384\t256\tfloat\tloaded" in listed
    assert vecmark("models").stdout == listed
    shown = vecmark("models", "show").stdout
    assert re.search(r"^limit: +256 tokens$", shown, re.MULTILINE)
    assert re.search(r"^space: +fp1:[0-9a-f]{64}$", shown, re.MULTILINE)


def test_a_model_is_checked(vecmark, tmp_path, model_cache):
    (tmp_path / "unused").mkdir()
    (tmp_path / "unused" / "cache").symlink_to(model_cache)
    done = vecmark("models", "check", "--fast")
    assert done.returncode == 0, done.stderr
    assert "vectors of 384 dimensions" in done.stdout
    assert re.search(
        r"^compared with torch: .* at worst (0\.999|1\.0)\d+", done.stdout, re.MULTILINE
    )


def test_a_model_whose_vectors_changed_is_reported(vecmark, tmp_path, model_cache):
    bundled = description.describe("bundled", models.minilm_directory())
    prefix = bundled.space.fingerprint.removeprefix("fp1:")[:32]
    [entry] = (path for path in model_cache.glob(f"{prefix}-*-cpu") if path.is_dir())
    copied = tmp_path / "unused" / "cache" / entry.name
    shutil.copytree(entry, copied, copy_function=os.symlink)
    change_reference(copied / convert.REFERENCE)
    done = vecmark("models", "check", "--fast")
    assert done.returncode == 1
    assert "Error: " in done.stderr
    assert "the vectors of this machine differ from those of torch" in done.stderr
    assert "; moved: " in done.stdout


def change_reference(file: Path) -> None:
    """Let every text have had another one's vector when the model was converted."""
    vectors = np.roll(np.load(file), 1, axis=0)
    file.unlink()
    np.save(file, vectors)
    manifest = file.with_name(convert.MANIFEST)
    content = json.loads(manifest.read_text())
    content["files"][file.name] = convert.file_digest(file)
    manifest.unlink()
    manifest.write_text(json.dumps(content))
