"""The pipeline of a sentence-transformers model: modules.json and the modules' settings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedding import errors
from embedding.model_files import json_files, space

FILE = "modules.json"
LIBRARY = "sentence_transformers."

REFUSED = {
    "Router": "a Router sends queries and documents through different modules",
    "Asym": "an Asym model sends queries and documents through different modules",
    "CLIPModel": "it embeds images",
    "SpladePooling": "it makes sparse vectors",
    "SparseStaticEmbedding": "it makes sparse vectors",
    "SparseAutoEncoder": "it makes sparse vectors",
    "MLMTransformer": "it makes sparse vectors",
    "MultiVectorMask": "it makes several vectors of each text",
}
POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
ACTIVATIONS = {
    "CELU", "ELU", "GELU", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "LeakyReLU",
    "LogSigmoid", "Mish", "ReLU", "ReLU6", "SELU", "Sigmoid", "SiLU", "Softplus", "Softsign",
    "Tanh", "Tanhshrink",
}  # fmt: skip


@dataclass(frozen=True)
class Module:
    """One step of a model's pipeline; `folder` is relative to the model's directory."""

    kind: str
    parameters: Mapping[str, space.Json]
    folder: str


def read(directory: Path) -> tuple[Module, ...]:
    """The pipeline in a directory, empty if it has none; ModelRefused for unsupported modules."""
    if not (directory / FILE).is_file():
        return ()
    entries = json_files.read_json(directory / FILE)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise errors.ModelInvalid(directory / FILE, "is not a list of modules")
    ordered = sorted(entries, key=lambda entry: int(entry.get("idx", 0)))
    kinds = [_kind(directory, str(entry.get("type") or "")) for entry in ordered]
    _check_order(directory / FILE, kinds)
    return tuple(
        _module(directory, kind, entry) for kind, entry in zip(kinds, ordered, strict=True)
    )


def _module(directory: Path, kind: str, entry: Mapping[str, Any]) -> Module:
    folder = str(entry.get("path") or "")
    if Path(folder).is_absolute() or ".." in Path(folder).parts:
        raise errors.ModelInvalid(
            directory / FILE, f"names a folder outside the model's directory: {folder}"
        )
    return Module(kind=kind, parameters=READERS[kind](directory / folder), folder=folder)


def _kind(directory: Path, path: str) -> str:
    """The name of a module's class; its path depends on the library's version."""
    kind = path.rpartition(".")[2]
    if not path.startswith(LIBRARY):
        raise errors.ModelRefused(
            f"{directory / FILE}: {path or 'a module without a type'} is code that comes with the"
            " model, which is never run; choose a model with sentence-transformers' own modules"
        )
    if ".sparse_encoder." in path or ".multi_vector_encoder." in path or ".cross_encoder." in path:
        reason = REFUSED.get(kind, "it doesn't make one dense vector of each text")
        raise errors.ModelRefused(f"{directory / FILE}: {path} is not supported: {reason}")
    if kind in REFUSED:
        raise errors.ModelRefused(f"{directory / FILE}: {kind} is not supported: {REFUSED[kind]}")
    if kind not in READERS:
        raise errors.ModelRefused(
            f"{directory / FILE}: the module {kind} is not supported;"
            f" supported are {', '.join(sorted(READERS))}"
        )
    return kind


def _check_order(file: Path, kinds: Sequence[str]) -> None:
    first = kinds[0] if kinds else "nothing"
    if first not in ("Transformer", "StaticEmbedding"):
        raise errors.ModelRefused(
            f"{file}: a pipeline that begins with {first} is not supported; it must begin with a"
            " Transformer or a StaticEmbedding"
        )
    if first == "Transformer" and list(kinds[1:2]) != ["Pooling"]:
        raise errors.ModelRefused(
            f"{file}: no Pooling follows the Transformer, so there is no single vector for a text"
        )
    if {"Transformer", "StaticEmbedding"} & set(kinds[1:]) or "Pooling" in kinds[2:]:
        raise errors.ModelRefused(f"{file}: the pipeline {' > '.join(kinds)} is not supported")
    if first == "StaticEmbedding" and "Pooling" in kinds:
        raise errors.ModelRefused(f"{file}: a Pooling has nothing to pool after a StaticEmbedding")


def _no_parameters(folder: Path) -> dict[str, space.Json]:
    del folder
    return {}


def _pooling(folder: Path) -> dict[str, space.Json]:
    """One spelling for flags (until version 5) and `pooling_mode` (since version 6)."""
    file = folder / "config.json"
    config = json_files.read_object(file)
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for flag, mode in POOLING_FLAGS.items() if config.get(flag)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or not modes or set(modes) - set(POOLING_FLAGS.values()):
        raise errors.ModelRefused(f"{file}: the pooling mode {modes!r} is not supported")
    dimensions = config.get("embedding_dimension", config.get("word_embedding_dimension"))
    if type(dimensions) is not int or dimensions < 1:
        raise errors.ModelInvalid(file, f"embedding_dimension is {dimensions!r}")
    include_prompt = bool(config.get("include_prompt", True))
    return {"modes": modes, "dimensions": dimensions, "include_prompt": include_prompt}


def _dense(folder: Path) -> dict[str, space.Json]:
    file = folder / "config.json"
    config = json_files.read_object(file)
    keys = ("in_features", "out_features")
    sizes = {key: json_files.whole_number(file, config, key) for key in keys}
    if not all(sizes.values()):
        raise errors.ModelInvalid(file, "in_features and out_features must both be set")
    _sentence_vectors_only(file, config)
    return {
        **sizes,
        "bias": bool(config.get("bias", True)),
        "activation": _activation(file, config.get("activation_function")),
        "residual": bool(config.get("use_residual", False)),
    }


def _activation(file: Path, path: object) -> str:
    if path is None:
        return "Tanh"
    name = str(path).rpartition(".")[2]
    if not str(path).startswith("torch.nn.") or name not in ACTIVATIONS:
        raise errors.ModelRefused(
            f"{file}: the activation {path} is not supported;"
            f" supported are torch's {', '.join(sorted(ACTIVATIONS))}"
        )
    return name


def _layer_norm(folder: Path) -> dict[str, space.Json]:
    config = json_files.read_object(folder / "config.json")
    return {"dimensions": json_files.whole_number(folder / "config.json", config, "dimension")}


def _normalize(folder: Path) -> dict[str, space.Json]:
    file = folder / "config.json"
    _sentence_vectors_only(file, json_files.read_optional(file))
    return {}


def _sentence_vectors_only(file: Path, config: Mapping[str, Any]) -> None:
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, "sentence_embedding"):
            raise errors.ModelRefused(
                f"{file}: {key} {config[key]!r} is not supported, only sentence_embedding"
            )


# A Transformer or a StaticEmbedding is read by transformer.py.
READERS: Mapping[str, Callable[[Path], dict[str, space.Json]]] = {
    "Transformer": _no_parameters,
    "StaticEmbedding": _no_parameters,
    "Pooling": _pooling,
    "Dense": _dense,
    "LayerNorm": _layer_norm,
    "Normalize": _normalize,
    "Dropout": _no_parameters,
}
