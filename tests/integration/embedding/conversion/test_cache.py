import concurrent.futures
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from embedding import errors, loading
from embedding.conversion import convert
from embedding.model_files import description
from tests import models

WARM_START = """
import sys
from pathlib import Path
from embedding import loading
from embedding.model_files import description

model = description.describe("minilm", Path(sys.argv[1]))
loading.load(model, cache_dir=Path(sys.argv[2]), device="cpu").close()
heavy = {"torch", "sentence_transformers", "transformers"} & set(sys.modules)
sys.exit(f"imported {sorted(heavy)}" if heavy else 0)
"""


def entries(cache_dir: Path) -> list[Path]:
    return sorted(path for path in cache_dir.iterdir() if path.is_dir())


def damage(file: Path) -> None:
    with file.open("r+b") as content:
        content.seek(file.stat().st_size // 2)
        content.write(b"\x7f" * 64)


def test_a_warm_start_imports_no_torch(minilm, cache_dir):
    subprocess.run(
        [sys.executable, "-c", WARM_START, models.minilm_directory(), cache_dir],
        check=True,
        timeout=60,
    )


def test_a_damaged_entry_is_converted_again_once_by_two_starts(wordllama, cache_dir, tmp_path):
    prefix = wordllama.space.fingerprint.partition(":")[2][:32]
    (sound,) = (entry for entry in entries(cache_dir) if entry.name.startswith(prefix))
    entry = shutil.copytree(sound, tmp_path / sound.name)
    damage(entry / convert.REFERENCE)
    (tmp_path / f"{sound.name}.killed.new").mkdir()
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        loaded = list(
            threads.map(
                lambda _: loading.load(wordllama.description, cache_dir=tmp_path, device="cpu"),
                range(2),
            )
        )
    for one in loaded:
        assert np.array_equal(one.reference, wordllama.reference)
        one.close()
    assert entries(tmp_path) == [entry]
    manifest = json.loads((entry / convert.MANIFEST).read_text())
    assert manifest["files"] == {convert.REFERENCE: convert.file_digest(entry / convert.REFERENCE)}


def test_files_that_change_while_a_model_is_loaded_are_noticed(wordllama_directory, tmp_path):
    directory = shutil.copytree(wordllama_directory, tmp_path / "model")
    found = description.describe("changing", directory)
    models.save_tensors(directory, {"embedding.weight": np.ones((32000, 256), np.float32)})
    with pytest.raises(errors.ModelInvalid, match="changed"):
        loading.load(found, cache_dir=tmp_path / "cache", device="cpu")
    assert entries(tmp_path / "cache") == []
