from pathlib import Path

import numpy as np
import pytest

from embedding import errors
from embedding.model_files import safetensors_file
from tests import models

FILE = "model.safetensors"


@pytest.fixture
def tensors() -> models.Tensors:
    numbers = np.random.default_rng(0)
    return {
        "embeddings": numbers.random((7, 5)).astype(np.float16),
        "mapping": np.arange(9, dtype=np.int64),
        "weights": numbers.random(9),
        "empty": np.zeros((0, 4), np.float32),
    }


def test_tensors_are_loaded_as_the_library_wrote_them(tmp_path: Path, tensors: models.Tensors):
    models.save_tensors(tmp_path, tensors)
    assert safetensors_file.dtypes(tmp_path / FILE) == {"F16", "F32", "F64", "I64"}
    loaded = safetensors_file.load(tmp_path / FILE)
    assert set(loaded) == set(tensors)
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert np.array_equal(loaded[name], tensor)


def test_a_loaded_table_stays_when_its_file_is_overwritten(tmp_path: Path, tensors: models.Tensors):
    models.save_tensors(tmp_path, tensors)
    loaded = safetensors_file.load(tmp_path / FILE)
    (tmp_path / FILE).write_bytes(b"")
    assert np.array_equal(loaded["embeddings"], tensors["embeddings"])


def test_a_type_that_tables_do_not_have_is_refused(tmp_path: Path):
    models.save_tensors(tmp_path, {"a": np.ones(4, np.uint16)})
    assert safetensors_file.dtypes(tmp_path / FILE) == {"U16"}
    with pytest.raises(errors.ModelInvalid, match="can't be read as a table: 'U16'"):
        safetensors_file.load(tmp_path / FILE)


@pytest.mark.parametrize("read", [safetensors_file.load, safetensors_file.dtypes])
def test_a_cut_off_or_missing_file_is_named(tmp_path: Path, tensors: models.Tensors, read):
    with pytest.raises(errors.ModelInvalid, match="can't be read: No such file"):
        read(tmp_path / FILE)
    models.save_tensors(tmp_path, tensors)
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:-1])
    with pytest.raises(errors.ModelInvalid, match=f"{FILE}: cut off"):
        read(tmp_path / FILE)
