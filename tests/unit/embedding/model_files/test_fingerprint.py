import functools
import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedding import errors
from embedding.model_files import description
from tests import models

PUBLISHED = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MINILM = "fp1:5fc706c2af79f394b51f8eb220f0035cbaef6068c051de2093127947deff952c"
POOLING = "1_Pooling/config.json"
SETTINGS = "sentence_bert_config.json"
QUERY = "embeddings.word_embeddings.weight"


def fingerprint(directory: Path, **options: Any) -> str:
    return description.describe(
        "m", directory, options=description.ModelOptions(**options)
    ).space.fingerprint


@functools.cache
def unchanged() -> str:
    return fingerprint(models.minilm_directory())


def test_bundled_weights_are_the_published_ones() -> None:
    with (models.minilm_directory() / "model.safetensors").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == PUBLISHED


def test_bundled_model_is_described_in_full() -> None:
    model = description.describe("bundled", models.minilm_directory())
    assert model.space.dimensions == 384
    assert model.space.max_tokens == 256
    assert model.space.lower_case
    assert model.space.include_prompt
    assert [module.kind for module in model.modules] == ["Transformer", "Pooling", "Normalize"]
    assert model.warnings == ()


def test_fingerprint_of_the_bundled_model_never_changes() -> None:
    """Stored vectors are marked with it: another value here orphans every index."""
    assert unchanged() == MINILM


def test_fingerprint_is_the_digest_of_the_manifest() -> None:
    space = description.describe("m", models.minilm_directory()).space
    text = json.dumps(space.manifest, sort_keys=True, separators=(",", ":"))
    assert space.fingerprint == f"fp1:{hashlib.sha256(text.encode()).hexdigest()}"
    assert len(text) < 10_000


def test_saving_the_bundled_model_again_keeps_the_fingerprint(resaved: Path) -> None:
    again = resaved / "minilm"
    assert (again / "model.safetensors").stat().st_size != 90_868_376
    assert fingerprint(again) == unchanged()


@pytest.mark.parametrize(
    "kind",
    [
        "bert", "distilbert", "electra", "modernbert", "mpnet", "qwen3", "roberta", "wordllama",
        "xlm-roberta",
    ],
)  # fmt: skip
def test_saving_an_old_model_again_keeps_the_fingerprint(resaved: Path, kind: str) -> None:
    assert fingerprint(resaved / "old" / kind) == fingerprint(resaved / "new" / kind)


def test_saving_dense_and_layer_norm_again_keeps_the_fingerprint(resaved: Path) -> None:
    assert fingerprint(resaved / "dense") == fingerprint(resaved / "dense-again")
    assert fingerprint(resaved / "dense") != unchanged()


def test_changed_dense_weights_change_the_fingerprint(resaved: Path, tmp_path: Path) -> None:
    changed = models.variant(tmp_path / "changed", source=resaved / "dense")
    folder = next(path for path in changed.iterdir() if path.name.endswith("_Dense"))
    tensors = models.load_tensors(folder)
    models.save_tensors(folder, tensors | {"linear.bias": tensors["linear.bias"] + 1})
    assert fingerprint(changed) != fingerprint(resaved / "dense")


@pytest.mark.parametrize(
    "configs",
    [
        {"config.json": {"num_attention_heads": 6}},
        {"config.json": {"hidden_act": "relu"}},
        {"config.json": {"layer_norm_eps": 1e-5}},
        {"config.json": {"position_embedding_type": "relative_key"}},
        {"config.json": {"a_setting_of_tomorrow": 3}},
        {POOLING: {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}},
        {POOLING: {"pooling_mode_max_tokens": True}},
        {POOLING: {"include_prompt": False}},
        {SETTINGS: {"max_seq_length": 128}},
        {SETTINGS: {"do_lower_case": True}},
        {"tokenizer_config.json": {"do_lower_case": False}},
        {"tokenizer_config.json": {"strip_accents": False}},
        {"config_sentence_transformers.json": {"prompts": {"document": "passage: "}}},
    ],
)
def test_what_changes_the_vectors_changes_the_fingerprint(
    tmp_path: Path, configs: Mapping[str, Mapping[str, Any]]
) -> None:
    assert fingerprint(models.variant(tmp_path / "changed", configs=configs)) != unchanged()


@pytest.mark.parametrize(
    "configs",
    [
        {"config.json": {"_name_or_path": "elsewhere", "transformers_version": "9.9"}},
        {"config.json": {"torch_dtype": "float32", "architectures": ["BertForMaskedLM"]}},
        {"config.json": {"hidden_dropout_prob": 0.5, "use_cache": False, "is_decoder": False}},
        {"config.json": {"hidden_act": ..., "layer_norm_eps": ..., "pad_token_id": ...}},
        {"config.json": {"classifier_dropout": None, "id2label": {"0": "a"}}},
        {POOLING: {"pooling_mode_mean_tokens": ..., "pooling_mode": "mean"}},
        {POOLING: {"word_embedding_dimension": ..., "embedding_dimension": 384}},
        {"config_sentence_transformers.json": {"prompts": {"query": "find: "}}},
        {"config_sentence_transformers.json": {"prompts": {"query": "", "document": ""}}},
        {"tokenizer_config.json": {"model_max_length": 300, "padding_side": "left"}},
        {"2_Normalize/config.json": {"module_input_name": "sentence_embedding"}},
    ],
)
def test_what_leaves_the_vectors_alone_keeps_the_fingerprint(
    tmp_path: Path, configs: Mapping[str, Mapping[str, Any]]
) -> None:
    assert fingerprint(models.variant(tmp_path / "same", configs=configs)) == unchanged()


@pytest.mark.parametrize("key", ["truncation", "padding", "decoder"])
def test_tokenizer_settings_that_cut_and_pad_keep_the_fingerprint(tmp_path: Path, key: str) -> None:
    same = models.variant(tmp_path / "same", configs={"tokenizer.json": {key: None}})
    assert fingerprint(same) == unchanged()


def test_a_changed_vocabulary_changes_the_fingerprint(tmp_path: Path) -> None:
    model = json.loads((models.minilm_directory() / "tokenizer.json").read_text())["model"]
    vocabulary = dict(model["vocab"])
    vocabulary["the"], vocabulary["a"] = vocabulary["a"], vocabulary["the"]
    changed = {"tokenizer.json": {"model": model | {"vocab": vocabulary}}}
    assert fingerprint(models.variant(tmp_path / "changed", configs=changed)) != unchanged()


def test_class_paths_of_any_version_name_the_same_module(tmp_path: Path) -> None:
    same = models.variant(tmp_path / "same")
    library = "sentence_transformers.sentence_transformer.modules"
    kinds = [("", "transformer.Transformer"), ("1_Pooling", "pooling.Pooling")]
    models.write_json(
        same / "modules.json",
        [
            {"idx": no, "path": path, "type": f"{library}.{kind}"}
            for no, (path, kind) in enumerate(kinds)
        ],
    )
    # Without its Normalize, too: every vector is brought to unit length anyway.
    assert fingerprint(same) == unchanged()


def test_one_changed_weight_changes_the_fingerprint(tmp_path: Path) -> None:
    def change(tensors: models.Tensors) -> models.Tensors:
        tensors[QUERY][2000, 7] = np.nextafter(tensors[QUERY][2000, 7], np.float32(1))
        return tensors

    assert fingerprint(models.variant(tmp_path / "changed", tensors=change)) != unchanged()


def test_stored_precision_of_the_weights_changes_the_fingerprint(tmp_path: Path) -> None:
    def halve(tensors: models.Tensors) -> models.Tensors:
        return {
            name: tensor.astype(np.float16) if tensor.dtype == np.float32 else tensor
            for name, tensor in tensors.items()
        }

    assert fingerprint(models.variant(tmp_path / "half", tensors=halve)) != unchanged()


def test_names_of_a_model_with_a_head_keep_the_fingerprint(tmp_path: Path) -> None:
    def as_masked_language_model(tensors: models.Tensors) -> models.Tensors:
        named = {f"bert.{name}": tensor for name, tensor in tensors.items()}
        renamed = {
            name.replace("LayerNorm.weight", "LayerNorm.gamma"): tensor
            for name, tensor in named.items()
            if "pooler" not in name
        }
        return renamed | {"cls.predictions.bias": np.zeros(30522, np.float32)}

    assert (
        fingerprint(models.variant(tmp_path / "m", tensors=as_masked_language_model)) == unchanged()
    )


def test_position_ids_that_are_not_the_usual_ones_count(tmp_path: Path) -> None:
    def reverse(tensors: models.Tensors) -> models.Tensors:
        ids = tensors["embeddings.position_ids"]
        return tensors | {"embeddings.position_ids": np.ascontiguousarray(ids[:, ::-1])}

    assert fingerprint(models.variant(tmp_path / "changed", tensors=reverse)) != unchanged()


def test_options_that_change_the_vectors_change_the_fingerprint() -> None:
    directory = models.minilm_directory()
    found = {
        fingerprint(directory),
        fingerprint(directory, max_tokens=128),
        fingerprint(directory, document_prompt="passage: "),
        fingerprint(directory, dimensions=128),
    }
    assert len(found) == 4


def test_options_that_repeat_the_model_keep_the_fingerprint() -> None:
    directory = models.minilm_directory()
    assert fingerprint(directory, max_tokens=256, document_prompt="", dimensions=384) == unchanged()
    assert fingerprint(directory, query_prompt="query: ") == unchanged()
    named = description.describe("another name", directory, revision="0" * 40)
    assert named.space.fingerprint == unchanged()


def test_a_space_gives_back_its_options() -> None:
    options = description.ModelOptions(max_tokens=99, document_prompt="d: ", dimensions=64)
    space = description.describe("m", models.minilm_directory(), options=options).space
    again = description.describe(
        "m", models.minilm_directory(), options=description.options_of(space)
    )
    assert again.space == space


def test_a_space_that_is_cut_is_the_one_of_a_model_with_fewer_dimensions() -> None:
    whole = description.describe("m", models.minilm_directory()).space
    cut = whole.truncated(64)
    assert (cut.fingerprint, cut.dimensions) == (
        fingerprint(models.minilm_directory(), dimensions=64),
        64,
    )
    assert whole.truncated(384) == whole


@pytest.mark.parametrize("dimensions", [0, -1, 385])
def test_dimensions_that_the_model_does_not_have_are_refused(dimensions: int) -> None:
    with pytest.raises(errors.DimensionsRefused, match="384"):
        fingerprint(models.minilm_directory(), dimensions=dimensions)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(errors.ModelRefused, match="int4"):
        fingerprint(models.minilm_directory(), precision="int4")


def test_cut_dimensions_warn_if_the_model_was_not_trained_for_it() -> None:
    model = description.describe(
        "m", models.minilm_directory(), options=description.ModelOptions(dimensions=64)
    )
    assert model.space.dimensions == 64
    assert model.native_dimensions == 384
    assert any("Matryoshka" in warning for warning in model.warnings)


def test_describing_a_model_imports_no_torch() -> None:
    code = (
        "import sys; from embedding.model_files import description;"
        "from embedding.registry import hub, sources;"
        "description.describe('m', sources.bundled_directory());"
        "print(sorted({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=_root()
    )
    assert done.stdout.strip() == "[]"


def _root() -> Path:
    return Path(description.__file__).parents[2]
