"""Weights that contradict the configuration would be loaded in part, and the rest made up."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedding import errors
from embedding.model_files import checkpoint, config_identity, json_files, space

FILE = "config.json"

# Names that a model with a head puts before those of its body: a body saved alone drops them.
PREFIXES = {
    "bert": "bert.", "roberta": "roberta.", "xlm-roberta": "roberta.", "camembert": "roberta.",
    "mpnet": "mpnet.", "distilbert": "distilbert.", "electra": "electra.", "albert": "albert.",
    "deberta-v2": "deberta.", "modernbert": "model.", "qwen2": "model.", "qwen3": "model.",
    "llama": "model.", "mistral": "model.", "gemma3_text": "model.", "nomic_bert": "nomic_bert.",
}  # fmt: skip

# Token states leave these models before the pooler; it is there in some saves and not in others.
UNUSED_POOLER = {"bert", "roberta", "xlm-roberta", "camembert", "mpnet", "albert", "electra"}
POOLER = re.compile(r"^pooler(\.|$)")

# Positions of these begin after the padding token's, so a table of 514 serves 512 tokens.
OFFSET_POSITIONS = {
    "roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "data2vec-text",
    "roberta-prelayernorm", "longformer", "xmod", "ibert",
}  # fmt: skip
RELATIVE_POSITIONS = {"t5", "mt5", "umt5", "xlnet"}


@dataclass(frozen=True)
class Architecture:
    """The configuration of a transformer, with the sizes that other files must agree with."""

    file: Path
    model_type: str
    config: Mapping[str, Any]
    hidden_size: int
    vocabulary: int | None
    positions: int | None

    def summary(self) -> dict[str, space.Json]:
        """What changes the forward pass, whichever version of the library wrote it down."""
        return config_identity.forward_config(self.model_type, self.config)


def read(folder: Path) -> Architecture:
    """Read a transformer's config.json; ModelRefused for what would need its own code."""
    file = folder / FILE
    config = json_files.read_object(file)
    _refuse(file, config)
    model_type = str(config.get("model_type") or "")
    if not model_type:
        raise errors.ModelInvalid(file, "has no model_type")
    hidden_size = _first(file, config, "hidden_size", "d_model", "dim", "n_embd")
    if hidden_size is None:
        raise errors.ModelInvalid(file, "says no hidden_size")
    return Architecture(
        file=file,
        model_type=model_type,
        config=config,
        hidden_size=hidden_size,
        vocabulary=_first(file, config, "vocab_size"),
        positions=_positions(file, config, model_type),
    )


def read_weights(folder: Path, architecture: Architecture) -> checkpoint.Checkpoint:
    """The tensors that the transformer uses, under the names that a body saved alone gives them."""
    found = checkpoint.read(folder)
    prefix = PREFIXES.get(architecture.model_type, "")
    has_prefix = bool(prefix) and any(name.startswith(prefix) for name in found.tensors)
    tensors = {}
    for name, tensor in found.tensors.items():
        if has_prefix and not name.startswith(prefix):
            continue  # a head
        plain = _plain(name.removeprefix(prefix) if has_prefix else name)
        if not (architecture.model_type in UNUSED_POOLER and POOLER.match(plain)):
            tensors[plain] = checkpoint.Tensor(plain, tensor.dtype, tensor.shape, tensor.sha256)
    weights = checkpoint.Checkpoint(found.file, tensors)
    check_tensor_shapes(architecture, weights)
    return weights


def _plain(name: str) -> str:
    # BERT's first checkpoints call the two tensors of a LayerNorm gamma and beta.
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
        "LayerNorm.beta", "LayerNorm.bias"
    )


def _refuse(file: Path, config: Mapping[str, Any]) -> None:
    if config.get("auto_map"):
        raise errors.ModelRefused(
            f"{file}: the model brings its own code (auto_map), which is never run; choose a model"
            " whose architecture is part of the transformers library"
        )
    if config.get("quantization_config"):
        raise errors.ModelRefused(
            f"{file}: a quantised checkpoint (quantization_config) is not served; use float weights"
        )


def _first(file: Path, config: Mapping[str, Any], *keys: str) -> int | None:
    found = (json_files.whole_number(file, config, key) for key in keys)
    return next((value for value in found if value is not None), None)


def _positions(file: Path, config: Mapping[str, Any], model_type: str) -> int | None:
    """How many tokens, special ones included, the model has positions for; None for no end."""
    if model_type in RELATIVE_POSITIONS:
        return None
    default = config_identity.DEFAULTS.get(model_type, {}).get("max_position_embeddings")
    table = _first(file, config, "max_position_embeddings", "n_positions") or default
    if table is None or table < 1:
        return None
    if model_type in OFFSET_POSITIONS:
        padding = json_files.whole_number(file, config, "pad_token_id")
        return int(table) - (1 if padding is None else padding) - 1
    return int(table)


if TYPE_CHECKING:
    from embedding.model_files.architecture import Architecture

Shape = tuple[int, ...]

LAYER = re.compile(r"^(?:encoder|transformer)?\.?layers?\.(\d+)\.(.+)$")
SHARED_LAYERS = {"albert"}
WORDS = ("word_embeddings.weight", "embed_tokens.weight", "tok_embeddings.weight")

# These name their tensors as BERT does.
BERT_LIKE = {"bert", "roberta", "xlm-roberta", "camembert", "electra"}
# All layers of these hold the same tensors in the same shapes.
UNIFORM = BERT_LIKE | {
    "mpnet", "distilbert", "deberta-v2", "qwen2", "qwen3", "llama", "mistral", "gemma3_text",
}  # fmt: skip


def check_tensor_shapes(architecture: "Architecture", weights: checkpoint.Checkpoint) -> None:
    """Compare the tensors with the sizes in config.json, and the layers with each other.

    ModelInvalid naming both sides. A tensor that only the library knows of is missed here, and
    noticed where the model is converted.
    """
    _check_embeddings(architecture, weights)
    layers = _layers(weights)
    _check_number(architecture, weights, layers)
    if architecture.model_type in UNIFORM:
        _check_alike(weights, layers)
    if architecture.model_type in BERT_LIKE:
        _check_bert_embeddings(architecture, weights)
        _check_bert(architecture, weights, layers)


def _check_embeddings(architecture: "Architecture", weights: checkpoint.Checkpoint) -> None:
    for name in WORDS:
        shape = weights.shape(name)
        if shape and architecture.vocabulary and shape[0] != architecture.vocabulary:
            _contradict(weights, name, shape[0], "vocab_size", architecture)
        if (
            shape
            and "embedding_size" not in architecture.config
            and shape[1] != architecture.hidden_size
        ):
            _contradict(weights, name, shape[1], "hidden_size", architecture)
    shape = weights.shape("position_embeddings.weight")
    if shape and shape[0] != architecture.config.get("max_position_embeddings", shape[0]):
        _contradict(
            weights, "position_embeddings.weight", shape[0], "max_position_embeddings", architecture
        )


def _layers(weights: checkpoint.Checkpoint) -> dict[int, dict[str, Shape]]:
    """The shapes of each layer's tensors, by the name within the layer."""
    layers: dict[int, dict[str, Shape]] = {}
    for name, tensor in weights.tensors.items():
        if match := LAYER.match(name):
            layers.setdefault(int(match[1]), {})[match[2]] = tensor.shape
    return layers


def _check_number(
    architecture: "Architecture",
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
    architecture: "Architecture",
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
        found = layers[min(layers)].get(name)
        if found != shape:
            what = "lacks" if found is None else f"has the shape {found} for"
            raise errors.ModelInvalid(
                weights.file,
                f"every layer {what} the tensor {name}, but {architecture.file} says {sizes}",
            )


def _check_bert_embeddings(architecture: "Architecture", weights: checkpoint.Checkpoint) -> None:
    width = architecture.config.get("embedding_size", architecture.hidden_size)
    for name in ("word_embeddings.weight", "position_embeddings.weight", "LayerNorm.weight"):
        found = weights.tensors.get(f"embeddings.{name}")
        if found is None:
            raise errors.ModelInvalid(
                weights.file, f"lacks the tensor embeddings.{name}; copy or download it again"
            )
        if found.shape[-1:] != (width,):
            raise errors.ModelInvalid(
                weights.file,
                f"embeddings.{name} has the shape {found.shape}, but {architecture.file} says a"
                f" width of {width}",
            )


def _contradict(
    weights: checkpoint.Checkpoint, tensor: str, found: int, key: str, architecture: "Architecture"
) -> None:
    raise errors.ModelInvalid(
        weights.file,
        f"{tensor} has {found} where {architecture.file} says {key} {architecture.config.get(key)}",
    )
