from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedding import errors
from embedding.model_files import description
from tests import models

POOLING = "1_Pooling/config.json"
OWN = "sentence_transformers.models."


def pipeline(folder: Path, *types: str) -> Path:
    directory = models.variant(folder)
    paths = ["", "1_Pooling", "2_Normalize", "3"]
    models.write_json(
        directory / "modules.json",
        [
            {"idx": no, "path": path, "type": kind}
            for no, (path, kind) in enumerate(zip(paths, types, strict=False))
        ],
    )
    return directory


@pytest.mark.parametrize(
    ("types", "reason"),
    [
        (["custom_st.Transformer", OWN + "Pooling"], "never run"),
        (["pylate.models.Dense"], "never run"),
        ([""], "never run"),
        ([OWN + "Router"], "queries and documents"),
        ([OWN + "Asym"], "queries and documents"),
        ([OWN + "CLIPModel"], "images"),
        ([OWN + "WordEmbeddings", OWN + "Pooling"], "WordEmbeddings is not supported"),
        (
            [OWN + "Transformer", "sentence_transformers.sparse_encoder.models.SpladePooling"],
            "spar",
        ),
        (
            [
                OWN + "Transformer",
                "sentence_transformers.multi_vector_encoder.modules.MultiVectorMask",
            ],
            "several vectors",
        ),
        ([OWN + "Transformer"], "no Pooling"),
        ([OWN + "Pooling"], "begins with Pooling"),
        ([], "begins with nothing"),
        (
            [OWN + "Transformer", OWN + "Pooling", OWN + "Pooling"],
            "Transformer > Pooling > Pooling",
        ),
        ([OWN + "StaticEmbedding", OWN + "Pooling"], "nothing to pool"),
    ],
)
def test_pipelines_that_are_not_served_are_refused_by_name(
    tmp_path: Path, types: list[str], reason: str
) -> None:
    with pytest.raises(errors.ModelRefused, match=reason):
        description.describe("m", pipeline(tmp_path / "m", *types))


@pytest.mark.parametrize(
    ("configs", "reason"),
    [
        ({"config.json": {"auto_map": {"AutoModel": "modeling_x.X"}}}, "auto_map"),
        ({"config.json": {"quantization_config": {"bits": 4}}}, "quantis"),
        ({POOLING: {"pooling_mode": "attention"}}, "attention"),
        ({"sentence_bert_config.json": {"transformer_task": "fill-mask"}}, "fill-mask"),
        ({"sentence_bert_config.json": {"query_expansion": {"strategy": "fixed"}}}, "query_exp"),
        ({"sentence_bert_config.json": {"tokenizer_args": {"use_fast": True, "x": 1}}}, "x"),
        ({"sentence_bert_config.json": {"model_args": {"add_pooling_layer": False}}}, "add_pool"),
        ({"config_sentence_transformers.json": {"model_type": "SparseEncoder"}}, "SparseEncoder"),
        ({"config_sentence_transformers.json": {"model_type": "CrossEncoder"}}, "CrossEncoder"),
        ({"2_Normalize/config.json": {"module_input_name": "token_embeddings"}}, "token_embed"),
    ],
)
def test_settings_that_are_not_served_are_refused_by_name(
    tmp_path: Path, configs: Mapping[str, Mapping[str, Any]], reason: str
) -> None:
    with pytest.raises(errors.ModelRefused, match=reason):
        description.describe("m", models.variant(tmp_path / "m", configs=configs))


@pytest.mark.parametrize(
    ("configs", "reason"),
    [
        ({"config.json": {"hidden_size": 385}}, "hidden_size 385"),
        ({"config.json": {"hidden_size": ...}}, "no hidden_size"),
        ({"config.json": {"hidden_size": "384"}}, "not a whole number"),
        ({"config.json": {"vocab_size": 30000}}, "vocab_size 30000"),
        ({"config.json": {"num_hidden_layers": 12}}, "holds 6 layers"),
        ({"config.json": {"num_hidden_layers": 5}}, "holds 6 layers"),
        ({"config.json": {"max_position_embeddings": 1024}}, "max_position_embeddings 1024"),
        ({"config.json": {"model_type": ...}}, "no model_type"),
        ({POOLING: {"word_embedding_dimension": 768}}, "expects 768 dimensions, but gets 384"),
        ({POOLING: {"word_embedding_dimension": ...}}, "embedding_dimension is None"),
        ({"tokenizer.json": {"model": None}}, "has no model"),
        ({"tokenizer.json": {"model": {"type": "WordPiece", "vocab": {}}}}, "no vocabulary"),
        (
            {"tokenizer.json": {"added_tokens": [{"id": 99999, "content": "x"}]}},
            "token id 99999, but .* has 30522",
        ),
    ],
)
def test_files_that_contradict_each_other_are_named(
    tmp_path: Path, configs: Mapping[str, Mapping[str, Any]], reason: str
) -> None:
    with pytest.raises(errors.ModelInvalid, match=reason):
        description.describe("m", models.variant(tmp_path / "m", configs=configs))


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "model.safetensors", "1_Pooling/config.json"]
)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.ModelInvalid, match="missing") as caught:
        description.describe("m", models.variant(tmp_path / "m", remove=(name,)))
    assert caught.value.file == tmp_path / "m" / name


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"null"])
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "modules.json"])
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    directory = models.variant(tmp_path / "m", remove=(name,))
    (directory / name).write_bytes(content)
    with pytest.raises(errors.EmbeddingError, match=name):
        description.describe("m", directory)


def test_a_folder_outside_the_model_is_refused(tmp_path: Path) -> None:
    directory = models.variant(tmp_path / "m")
    steps = [{"idx": 0, "path": "../other", "type": OWN + "Transformer"}]
    steps.append({"idx": 1, "path": "1_Pooling", "type": OWN + "Pooling"})
    models.write_json(directory / "modules.json", steps)
    with pytest.raises(errors.ModelInvalid, match="outside the model"):
        description.describe("m", directory)


def test_a_transformer_alone_is_pooled_by_its_mean_with_a_warning(tmp_path: Path) -> None:
    directory = models.variant(tmp_path / "m", remove=("modules.json",))
    model = description.describe("m", directory)
    whole = description.describe("m", models.minilm_directory())
    assert model.space.fingerprint == whole.space.fingerprint
    assert any("no modules.json" in warning for warning in model.warnings)


def test_a_language_model_alone_is_refused(tmp_path: Path) -> None:
    directory = models.variant(
        tmp_path / "m",
        configs={"config.json": {"architectures": ["Qwen3ForCausalLM"]}},
        remove=("modules.json",),
    )
    with pytest.raises(errors.ModelRefused, match="Qwen3ForCausalLM"):
        description.describe("m", directory)


def test_a_directory_of_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.ModelInvalid, match="not a model's directory"):
        description.describe("m", tmp_path)
    with pytest.raises(errors.ModelNotFound, match="no directory"):
        description.describe("m", tmp_path / "none")


def dense(folder: Path, **changes: Any) -> Path:
    directory = pipeline(folder, OWN + "Transformer", OWN + "Pooling", OWN + "Dense")
    config: dict[str, Any] = {"in_features": 384, "out_features": 16, "bias": True}
    config["activation_function"] = "torch.nn.modules.activation.Tanh"
    models.write_json(directory / "2_Normalize/config.json", config | changes)
    weight = {"linear.weight": np.ones((16, 384), np.float32), "linear.bias": np.ones(16, "f4")}
    models.save_tensors(directory / "2_Normalize", weight)
    return directory


def test_a_dense_module_gives_the_dimensions(tmp_path: Path) -> None:
    assert description.describe("m", dense(tmp_path / "m")).space.dimensions == 16


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"in_features": 512}, "expects 512 dimensions, but gets 384"),
        ({"out_features": 32}, r"\(16, 384\), but config.json says \(32, 384\)"),
        ({"activation_function": "os.system"}, "os.system is not supported"),
        ({"activation_function": "torch.nn.modules.linear.Bilinear"}, "Bilinear is not supported"),
        ({"module_output_name": "other"}, "only sentence_embedding"),
    ],
)
def test_a_dense_module_that_cannot_be_right_is_refused(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(errors.EmbeddingError, match=reason):
        description.describe("m", dense(tmp_path / "m", **changes))


def test_a_dense_modules_activation_is_part_of_the_space(tmp_path: Path) -> None:
    tanh = description.describe("m", dense(tmp_path / "tanh"))
    unset = description.describe("m", dense(tmp_path / "unset", activation_function=None))
    relu = "torch.nn.modules.activation.ReLU"
    other = description.describe("m", dense(tmp_path / "relu", activation_function=relu))
    assert tanh.space.fingerprint == unset.space.fingerprint != other.space.fingerprint


def test_a_model_made_for_dot_product_is_accepted_with_a_warning(tmp_path: Path) -> None:
    made = models.variant(
        tmp_path / "m",
        configs={"config_sentence_transformers.json": {"similarity_fn_name": "dot"}},
    )
    assert any("dot product" in text for text in description.describe("m", made).warnings)
    said = pipeline(tmp_path / "said", OWN + "Transformer", OWN + "Pooling")
    (said / "README.md").unlink()
    (said / "README.md").write_text("# m\n| Suitable score functions | dot-product |\n")
    assert any("dot product" in text for text in description.describe("m", said).warnings)


def test_wordllama_has_no_limit(tmp_path: Path) -> None:
    model = description.describe("w", models.wordllama_directory(tmp_path / "w"))
    assert model.space.max_tokens is None
    assert model.space.dimensions == 256
    assert not model.space.lower_case
    assert model.warnings == ()


def test_a_static_table_under_model2vecs_name_is_the_same(tmp_path: Path) -> None:
    directory = models.wordllama_directory(tmp_path / "w")
    before = description.describe("w", directory)
    table = models.load_tensors(directory)["embedding.weight"]
    models.save_tensors(directory, {"embeddings": table})
    assert description.describe("w", directory).space == before.space
