import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedding import checkpoint, errors, forward_values, model_files, spaces, structure

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

    def summary(self) -> dict[str, spaces.Json]:
        """What changes the forward pass, whichever version of the library wrote it down."""
        return forward_values.of(self.model_type, self.config)


def read(folder: Path) -> Architecture:
    """Read a transformer's config.json; ModelRefused for what would need its own code."""
    file = folder / FILE
    config = model_files.read_object(file)
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
    structure.check(architecture, weights)
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
    found = (model_files.whole_number(file, config, key) for key in keys)
    return next((value for value in found if value is not None), None)


def _positions(file: Path, config: Mapping[str, Any], model_type: str) -> int | None:
    """How many tokens, special ones included, the model has positions for; None for no end."""
    if model_type in RELATIVE_POSITIONS:
        return None
    default = forward_values.DEFAULTS.get(model_type, {}).get("max_position_embeddings")
    table = _first(file, config, "max_position_embeddings", "n_positions") or default
    if table is None or table < 1:
        return None
    if model_type in OFFSET_POSITIONS:
        padding = model_files.whole_number(file, config, "pad_token_id")
        return int(table) - (1 if padding is None else padding) - 1
    return int(table)
