"""Weights that contradict the configuration would be loaded in part, and the rest made up."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from embedding import checkpoint, errors

if TYPE_CHECKING:
    from embedding.architectures import Architecture

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


def check(architecture: "Architecture", weights: checkpoint.Checkpoint) -> None:
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
