import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from embedding import errors
from embedding.model_files import checkpoint, description
from tests import models

WEIGHTS = "model.safetensors"


@pytest.fixture
def tensors() -> models.Tensors:
    numbers = np.random.default_rng(0)
    return {
        "a.weight": numbers.random((7, 5), dtype=np.float32),
        "b.weight": numbers.random((3, 4), dtype=np.float32).astype(np.float16),
        "c.position_ids": np.arange(12, dtype=np.int64)[None],
        "empty": np.zeros((0, 4), np.float32),
    }


def rewrite(file: Path, change: Callable[[bytes], bytes]) -> None:
    content = change(file.read_bytes())
    file.unlink()  # it may be a hard link
    file.write_bytes(content)


def test_every_tensor_is_hashed_by_its_bytes(tmp_path: Path, tensors: models.Tensors) -> None:
    models.save_tensors(tmp_path, tensors)
    found = checkpoint.read(tmp_path).tensors
    assert set(found) == {"a.weight", "b.weight", "empty"}
    assert found["a.weight"].shape == (7, 5)
    assert found["b.weight"].dtype == "F16"


def test_shards_order_and_metadata_do_not_matter(tmp_path: Path, tensors: models.Tensors) -> None:
    whole, sharded = tmp_path / "whole", tmp_path / "sharded"
    whole.mkdir()
    sharded.mkdir()
    models.save_tensors(whole, tensors)
    names = list(tensors)
    parts = {"model-00001-of-00002.safetensors": names[2:], "other.safetensors": names[:2]}
    for file, part in parts.items():
        kept = {name: tensors[name] for name in reversed(part)}
        safetensors.numpy.save_file(kept, sharded / file, metadata={"made": "elsewhere"})
    index = {name: file for file, part in parts.items() for name in part if "ids" not in name}
    models.write_json(sharded / "model.safetensors.index.json", {"weight_map": index})
    assert checkpoint.read(sharded).summary() == checkpoint.read(whole).summary()


def test_the_shape_matters_even_with_equal_bytes(tmp_path: Path) -> None:
    table = np.ones((4, 6), np.float32)
    models.save_tensors(tmp_path, {"a": table})
    before = checkpoint.read(tmp_path).summary()
    models.save_tensors(tmp_path, {"a": table.reshape(6, 4)})
    assert checkpoint.read(tmp_path).summary() != before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content[:-1], "cut off"),
        (lambda content: content[:-100], "cut off"),
        (lambda content: content[:60], "header claims"),
        (lambda content: content[:5], "5 bytes long"),
        (lambda content: b"", "0 bytes long"),
        (lambda content: b"\xff" * 8 + content[8:], "header claims"),
        (lambda content: content[:8] + b"{" * (len(content) - 8), "not JSON"),
        (lambda content: content + b"\0", "1 bytes follow"),
        (lambda content: content.replace(b'"F32"', b'"F31"', 1), "F31"),
        (lambda content: content.replace(b"[7,5]", b"[7,6]", 1), "contradicts itself"),
        (lambda content: content.replace(b"[7,5]", b"[7,-]", 1), "not JSON"),
        (
            lambda content: content.replace(b'offsets":[0,', b'offsets":[5,', 1),
            "contradicts itself",
        ),
        (
            lambda content: (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:53aa\nsize 9\n"
            ),
            "git lfs pull",
        ),
    ],
)
def test_a_damaged_file_is_named_with_the_reason(
    tmp_path: Path, tensors: models.Tensors, change: Callable[[bytes], bytes], reason: str
) -> None:
    models.save_tensors(tmp_path, tensors)
    rewrite(tmp_path / WEIGHTS, change)
    with pytest.raises(errors.ModelInvalid, match=reason) as caught:
        checkpoint.read(tmp_path)
    assert caught.value.file == tmp_path / WEIGHTS
    assert str(tmp_path / WEIGHTS) in str(caught.value)


def test_a_truncated_copy_of_the_bundled_model_is_refused(tmp_path: Path) -> None:
    directory = models.variant(tmp_path / "cut")
    rewrite(directory / WEIGHTS, lambda content: content[:50_000_000])
    with pytest.raises(errors.ModelInvalid, match=r"cut off: 50000000 bytes"):
        description.describe("m", directory)


def test_a_pickle_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02.")
    with pytest.raises(errors.ModelInvalid, match="safe_serialization=True"):
        checkpoint.read(tmp_path)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(errors.ModelInvalid, match=r"model\.safetensors: the weights are missing"):
        checkpoint.read(tmp_path)


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ({"weight_map": {"a": "gone.safetensors"}}, "names this shard"),
        ({"weight_map": {"a": "../x.safetensors"}}, "outside its folder"),
        ({"weight_map": {"a": "s.safetensors", "z": "s.safetensors"}}, "no shard holds .* z"),
        ({"weight_map": {}}, "no weight_map"),
        ({}, "no weight_map"),
    ],
)
def test_an_index_that_does_not_match_its_files_is_refused(
    tmp_path: Path, index: dict[str, object], reason: str
) -> None:
    models.save_tensors(tmp_path, {"a": np.ones(2, np.float32)}, name="s.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(errors.ModelInvalid, match=reason):
        checkpoint.read(tmp_path)
