"""A transformer's config.json, and whether its weights have the shapes that it claims.

The library would load contradicting weights in part, and fill the rest at random.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedding import errors
from embedding.model_files import checkpoint, config_identity, json_files, space

FILE = "config.json"

# Prefixes of the tensors in models saved with a head; without a head they are left out.
PREFIXES = {
    "bert": "bert.", "roberta": "roberta.", "xlm-roberta": "roberta.", "camembert": "roberta.",
    "mpnet": "mpnet.", "distilbert": "distilbert.", "electra": "electra.", "albert": "albert.",
    "deberta-v2": "deberta.", "modernbert": "model.", "qwen2": "model.", "qwen3": "model.",
    "llama": "model.", "mistral": "model.", "gemma3_text": "model.", "nomic_bert": "nomic_bert.",
}  # fmt: skip

# Token states are taken before the pooler in these models; not every save has one.
UNUSED_POOLER = {"bert", "roberta", "xlm-roberta", "camembert", "mpnet", "albert", "electra"}
POOLER = re.compile(r"^pooler(\.|$)")

# Here positions start after the padding token's id, so a table of 514 is enough for 512 tokens.
OFFSET_POSITIONS = {
    "roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "data2vec-text",
    "roberta-prelayernorm", "longformer", "xmod", "ibert",
}  # fmt: skip
RELATIVE_POSITIONS = {"t5", "mt5", "umt5", "xlnet"}

LAYER = re.compile(r"^(?:encoder|transformer)?\.?layers?\.(\d+)\.(.+)$")
SHARED_LAYERS = {"albert"}
WORDS = ("word_embeddings.weight", "embed_tokens.weight", "tok_embeddings.weight")

# These name their tensors as BERT does.
BERT_LIKE = {"bert", "roberta", "xlm-roberta", "camembert", "electra"}
# All layers of these hold the same tensors in the same shapes.
UNIFORM = BERT_LIKE | {
    "mpnet", "distilbert", "deberta-v2", "qwen2", "qwen3", "llama", "mistral", "gemma3_text",
}  # fmt: skip

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Architecture:
    """A transformer's configuration, with the sizes that other files must agree with."""

    file: Path
    model_type: str
    config: Mapping[str, Any]
    hidden_size: int
    vocabulary: int | None
    positions: int | None

    def summary(self) -> dict[str, space.Json]:
        """What changes the forward pass, independent of the library's version that wrote it."""
        return config_identity.forward_config(self.model_type, self.config)


def read(folder: Path) -> Architecture:
    """Read a transformer's config.json; ModelRefused if the model needs its own code."""
    file = folder / FILE
    config = json_files.read_object(file)
    _check_supported(file, config)
    model_type = str(config.get("model_type") or "")
    if not model_type:
        raise errors.ModelInvalid(file, "has no model_type")
    hidden_size = _first_number(file, config, "hidden_size", "d_model", "dim", "n_embd")
    if hidden_size is None:
        raise errors.ModelInvalid(file, "has no hidden_size")
    return Architecture(
        file=file,
        model_type=model_type,
        config=config,
        hidden_size=hidden_size,
        vocabulary=_first_number(file, config, "vocab_size"),
        positions=_positions(file, config, model_type),
    )


def read_weights(folder: Path, architecture: Architecture) -> checkpoint.Checkpoint:
    """The tensors that the transformer uses, named as in a save without a head; ModelInvalid."""
    saved = checkpoint.read(folder)
    prefix = PREFIXES.get(architecture.model_type, "")
    has_prefix = bool(prefix) and any(name.startswith(prefix) for name in saved.tensors)
    tensors = {}
    for name, tensor in saved.tensors.items():
        if has_prefix and not name.startswith(prefix):
            continue  # belongs to a head
        short = _modern_name(name.removeprefix(prefix) if has_prefix else name)
        if not (architecture.model_type in UNUSED_POOLER and POOLER.match(short)):
            tensors[short] = checkpoint.Tensor(short, tensor.dtype, tensor.shape, tensor.sha256)
    weights = checkpoint.Checkpoint(saved.file, tensors)
    check_tensor_shapes(architecture, weights)
    return weights


def _modern_name(name: str) -> str:
    # In BERT's first checkpoints the two tensors of a LayerNorm are called gamma and beta.
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
        "LayerNorm.beta", "LayerNorm.bias"
    )


def _check_supported(file: Path, config: Mapping[str, Any]) -> None:
    if config.get("auto_map"):
        raise errors.ModelRefused(
            f"{file}: the model comes with its own code (auto_map), which is never run; choose a"
            " model whose architecture is part of the transformers library"
        )
    if config.get("quantization_config"):
        raise errors.ModelRefused(
            f"{file}: quantised weights (quantization_config) are not supported; use float weights"
        )


def _first_number(file: Path, config: Mapping[str, Any], *keys: str) -> int | None:
    numbers = (json_files.whole_number(file, config, key) for key in keys)
    return next((value for value in numbers if value is not None), None)


def _positions(file: Path, config: Mapping[str, Any], model_type: str) -> int | None:
    """How many tokens, including special tokens, the model has positions for; None if unlimited."""
    if model_type in RELATIVE_POSITIONS:
        return None
    default = config_identity.DEFAULTS.get(model_type, {}).get("max_position_embeddings")
    table = _first_number(file, config, "max_position_embeddings", "n_positions") or default
    if table is None or table < 1:
        return None
    if model_type in OFFSET_POSITIONS:
        padding = json_files.whole_number(file, config, "pad_token_id")
        return int(table) - (1 if padding is None else padding) - 1
    return int(table)


def check_tensor_shapes(architecture: Architecture, weights: checkpoint.Checkpoint) -> None:
    """Compare the tensors with the sizes in config.json, and the layers with each other.

    Raises ModelInvalid naming both sides. Only the library knows every tensor that a model needs,
    so some that are missing are noticed only during conversion.
    """
    _check_embeddings(architecture, weights)
    layers = _layers(weights)
    _check_layer_count(architecture, weights, layers)
    if architecture.model_type in UNIFORM:
        _check_alike(weights, layers)
    if architecture.model_type in BERT_LIKE:
        _check_bert_embeddings(architecture, weights)
        _check_bert(architecture, weights, layers)


def _check_embeddings(architecture: Architecture, weights: checkpoint.Checkpoint) -> None:
    for name in WORDS:
        shape = weights.shape(name)
        if shape and architecture.vocabulary and shape[0] != architecture.vocabulary:
            _raise_contradiction(weights, name, shape[0], "vocab_size", architecture)
        if (
            shape
            and "embedding_size" not in architecture.config
            and shape[1] != architecture.hidden_size
        ):
            _raise_contradiction(weights, name, shape[1], "hidden_size", architecture)
    shape = weights.shape("position_embeddings.weight")
    if shape and shape[0] != architecture.config.get("max_position_embeddings", shape[0]):
        _raise_contradiction(
            weights, "position_embeddings.weight", shape[0], "max_position_embeddings", architecture
        )


def _layers(weights: checkpoint.Checkpoint) -> dict[int, dict[str, Shape]]:
    """The shapes of each layer's tensors, by the name within the layer."""
    layers: dict[int, dict[str, Shape]] = {}
    for name, tensor in weights.tensors.items():
        if match := LAYER.match(name):
            layers.setdefault(int(match[1]), {})[match[2]] = tensor.shape
    return layers


def _check_layer_count(
    architecture: Architecture,
    weights: checkpoint.Checkpoint,
    layers: Mapping[int, Mapping[str, Shape]],
) -> None:
    key = "n_layers" if "n_layers" in architecture.config else "num_hidden_layers"
    number = architecture.config.get(key)
    shared = architecture.model_type in SHARED_LAYERS
    if layers and number is not None and not shared and set(layers) != set(range(number)):
        raise errors.ModelInvalid(
            weights.file,
            f"holds {len(layers)} layers, but {architecture.file} says {key} {number}",
        )


def _check_alike(weights: checkpoint.Checkpoint, layers: Mapping[int, Mapping[str, Shape]]) -> None:
    names = {name for layer in layers.values() for name in layer}
    first = min(layers, default=0)
    for number, layer in sorted(layers.items()):
        missing = sorted(names - set(layer))
        if missing:
            raise errors.ModelInvalid(
                weights.file,
                f"layer {number} lacks the tensor {missing[0]}, which other layers have;"
                " copy or download it again",
            )
        for name, shape in layer.items():
            if shape != layers[first][name]:
                raise errors.ModelInvalid(
                    weights.file,
                    f"{name} has the shape {shape} in layer {number}, but"
                    f" {layers[first][name]} in layer {first}",
                )


def _check_bert(
    architecture: Architecture,
    weights: checkpoint.Checkpoint,
    layers: Mapping[int, Mapping[str, Shape]],
) -> None:
    hidden, config = architecture.hidden_size, architecture.config
    inner, heads = config.get("intermediate_size"), config.get("num_attention_heads")
    if isinstance(heads, int) and (heads < 1 or hidden % heads):
        raise errors.ModelInvalid(
            architecture.file, f"num_attention_heads {heads} doesn't divide hidden_size {hidden}"
        )
    if not layers:
        raise errors.ModelInvalid(weights.file, "holds no layer of the transformer")
    expected: dict[str, Shape] = {
        f"attention.{part}.weight": (hidden, hidden)
        for part in ("self.query", "self.key", "self.value", "output.dense")
    }
    expected |= {f"{name}.LayerNorm.weight": (hidden,) for name in ("attention.output", "output")}
    if isinstance(inner, int):
        expected |= {
            "intermediate.dense.weight": (inner, hidden),
            "output.dense.weight": (hidden, inner),
        }
    sizes = f"hidden_size {hidden}, intermediate_size {inner}"
    for name, shape in expected.items():
        actual = layers[min(layers)].get(name)
        if actual != shape:
            what = "lacks" if actual is None else f"has the shape {actual} for"
            raise errors.ModelInvalid(
                weights.file,
                f"every layer {what} the tensor {name}, but {architecture.file} says {sizes}",
            )


def _check_bert_embeddings(architecture: Architecture, weights: checkpoint.Checkpoint) -> None:
    width = architecture.config.get("embedding_size", architecture.hidden_size)
    for name in ("word_embeddings.weight", "position_embeddings.weight", "LayerNorm.weight"):
        tensor = weights.tensors.get(f"embeddings.{name}")
        if tensor is None:
            raise errors.ModelInvalid(
                weights.file, f"lacks the tensor embeddings.{name}; copy or download it again"
            )
        if tensor.shape[-1:] != (width,):
            raise errors.ModelInvalid(
                weights.file,
                f"embeddings.{name} has the shape {tensor.shape}, but {architecture.file} says a"
                f" width of {width}",
            )


def _raise_contradiction(
    weights: checkpoint.Checkpoint, tensor: str, size: int, key: str, architecture: Architecture
) -> None:
    raise errors.ModelInvalid(
        weights.file,
        f"{tensor} has {size}, but {architecture.file} says {key} {architecture.config.get(key)}",
    )
