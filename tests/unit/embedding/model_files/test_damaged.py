"""Directories that are not the whole model, or contradict themselves, are refused by name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from embedding import errors
from embedding.model_files import description
from embedding.registry import added, sources
from tests import models, tiny

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:53aa5117\nsize 90868376\n"
NEEDED = (
    "modules.json",
    "config.json",
    "1_Pooling/config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "model.safetensors",
)
QUERY = "encoder.layer.1.attention.self.query.weight"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.directory(tmp_path_factory.mktemp("tiny") / "whole")


@pytest.fixture
def directory(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "mine")


def add(directory: Path, models_dir: Path, name: str | None = None) -> added.Added:
    options = description.ModelOptions()
    request = added.AddModel(source=str(directory), name=name, options=options)
    return added.add(request, models_dir)


def pointer(content: bytes) -> bytes:
    del content
    return POINTER


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def empty(content: bytes) -> bytes:
    del content
    return b""


def reversed_(content: bytes) -> bytes:
    return content[::-1]


def test_a_whole_model_is_added(directory: Path, tmp_path: Path) -> None:
    assert add(directory, tmp_path / "models").model.space.dimensions == tiny.HIDDEN


@pytest.mark.parametrize("damage", [pointer, half, empty, reversed_])
@pytest.mark.parametrize("name", NEEDED)
def test_a_damaged_file_is_named(
    directory: Path, tmp_path: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    before = add(directory, tmp_path / "models").model.space
    content = (directory / name).read_bytes()
    (directory / name).write_bytes(damage(content))
    with pytest.raises(errors.ModelInvalid) as caught:
        add(directory, tmp_path / "models", "again")
    assert str(caught.value).startswith(f"{directory / name}: ")
    if damage is pointer:
        assert "git lfs pull" in str(caught.value)
    with pytest.raises(errors.ModelInvalid, match=name):
        description.describe("x", directory)
    # Nothing is left of it, and what was added before is what it was.
    assert [file.name for file in (tmp_path / "models").iterdir()] == ["mine"]
    kept = sources.resolve("mine", roots=(), models_dir=tmp_path / "models")
    assert sources.descriptions.get(kept).space == before


@pytest.mark.parametrize(
    "name", ["config.json", "1_Pooling/config.json", "tokenizer.json", "model.safetensors"]
)
def test_a_missing_file_is_named(directory: Path, tmp_path: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(errors.ModelInvalid, match=f"{directory / name}: .*missing"):
        add(directory, tmp_path / "models")


def without(name: str) -> models.Tensors:
    return {key: value for key, value in tiny.tensors().items() if key != name}


def resized(name: str, *shape: int) -> models.Tensors:
    return tiny.tensors() | {name: np.ones(shape, np.float32)}


@pytest.mark.parametrize(
    ("changes", "tensors", "message"),
    [
        ({"config.json": {"hidden_size": 64}}, None, "hidden_size 64"),
        ({"config.json": {"hidden_size": 0}}, None, "hidden_size"),
        ({"config.json": {"hidden_size": -32}}, None, "hidden_size"),
        ({"config.json": {"vocab_size": 100}}, None, "vocab_size 100"),
        ({"config.json": {"max_position_embeddings": 256}}, None, "max_position_embeddings 256"),
        ({"config.json": {"num_hidden_layers": 3}}, None, "num_hidden_layers 3"),
        ({"config.json": {"intermediate_size": 128}}, None, "intermediate_size 128"),
        ({"config.json": {"num_attention_heads": 5}}, None, "num_attention_heads"),
        ({"1_Pooling/config.json": {"word_embedding_dimension": 384}}, None, "expects 384 dim"),
        ({}, without(QUERY), "layer 1 lacks the tensor attention.self.query.weight"),
        ({}, without("encoder.layer.0.output.LayerNorm.bias"), "output.LayerNorm.bias"),
        ({}, without("embeddings.word_embeddings.weight"), "word_embeddings.weight"),
        ({}, without("embeddings.LayerNorm.weight"), "embeddings.LayerNorm.weight"),
        ({}, resized(QUERY, 32, 16), "attention.self.query.weight has the shape (32, 16)"),
        ({}, resized("encoder.layer.0.output.dense.weight", 16, 64), "output.dense.weight"),
        ({}, resized("embeddings.position_embeddings.weight", 512, 16), "position_embeddings"),
    ],
)
def test_what_contradicts_itself_is_refused_with_both_sides(
    directory: Path,
    tmp_path: Path,
    changes: dict[str, dict[str, object]],
    tensors: models.Tensors | None,
    message: str,
) -> None:
    for name, values in changes.items():
        content = json.loads((directory / name).read_text())
        models.write_json(directory / name, content | values)
    if tensors is not None:
        models.save_tensors(directory, tensors)
    with pytest.raises(errors.ModelInvalid) as caught:
        add(directory, tmp_path / "models")
    assert message in str(caught.value)
    assert str(directory) in str(caught.value)
