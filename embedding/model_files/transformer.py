"""The first module of a model, which reads the text: its files, its settings and its limit."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedding import errors
from embedding.model_files import architecture as model_architecture
from embedding.model_files import checkpoint, json_files, modules, space
from embedding.model_files import tokenizer as model_tokenizer

TABLE = 2

# Tokenizers without a limit say 1e30; no real limit is this high.
NO_LIMIT = 10_000_000

# In the library's order; only the first has been written since its first year.
FILES = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
TEXT = {"method": "forward", "method_output_name": "last_hidden_state"}

# These change where and how fast a model runs, never its vectors.
HARMLESS_ARGUMENTS = {
    "attn_implementation", "device_map", "dtype", "low_cpu_mem_usage", "torch_dtype",
}  # fmt: skip


@dataclass(frozen=True)
class TransformerInfo:
    """What the first module's files say; `manifest` and `tokenizer` are part of the space."""

    module: modules.Module
    manifest: Mapping[str, space.Json]
    tokenizer: Mapping[str, space.Json]
    lower_case: bool
    dimensions: int
    limit: int | None


def read(folder: Path, step: modules.Module, *, max_tokens: int | None) -> TransformerInfo:
    """Read and hash the first module; `max_tokens`, if set, is its limit."""
    if step.kind == "StaticEmbedding":
        return _read_static(folder, step, max_tokens)
    settings = read_settings(folder)
    architecture = model_architecture.read(folder)
    weights = model_architecture.read_weights(folder, architecture)
    tokenizer = model_tokenizer.read(
        folder, model_type=architecture.model_type, do_lower_case=settings.do_lower_case
    )
    _check_vocabulary(tokenizer, architecture.vocabulary, weights.file)
    parameters: dict[str, space.Json] = {
        "model_type": architecture.model_type,
        "dimensions": architecture.hidden_size,
        "positions": architecture.positions,
        "do_lower_case": settings.do_lower_case,
    }
    return TransformerInfo(
        module=modules.Module(step.kind, parameters, step.folder),
        manifest={
            "kind": step.kind,
            "config": architecture.summary(),
            "weights": weights.summary(),
        },
        tokenizer=tokenizer.summary(),
        lower_case=tokenizer.lower_case,
        dimensions=architecture.hidden_size,
        limit=effective_max_tokens(
            max_tokens,
            stated=settings.max_seq_length,
            stated_in=settings.file,
            positions=architecture.positions,
            tokenizer=tokenizer.model_max_length,
        ),
    )


def _read_static(folder: Path, step: modules.Module, max_tokens: int | None) -> TransformerInfo:
    weights = checkpoint.read(folder)
    # model2vec calls the table "embeddings"; sentence-transformers saves it under another name.
    if set(weights.tensors) == {"embeddings"}:
        table = weights.tensors["embeddings"]
        renamed = checkpoint.Tensor("embedding.weight", table.dtype, table.shape, table.sha256)
        weights = checkpoint.Checkpoint(weights.file, {renamed.name: renamed})
    shape = weights.shape("embedding.weight") or weights.shape("embeddings")
    if shape is None or len(shape) != TABLE:
        raise errors.ModelInvalid(weights.file, "has no table of embeddings")
    tokenizer = model_tokenizer.read(folder, model_type="", do_lower_case=False)
    mapping = weights.shape("mapping")
    _check_vocabulary(tokenizer, mapping[0] if mapping else shape[0], weights.file)
    return TransformerInfo(
        module=modules.Module(step.kind, {"dimensions": shape[1], "tokens": shape[0]}, step.folder),
        manifest={"kind": step.kind, "weights": weights.summary()},
        tokenizer=tokenizer.summary(),
        lower_case=tokenizer.lower_case,
        dimensions=shape[1],
        # The mean of a table's rows needs no positions, and the library reads no limit for it.
        limit=effective_max_tokens(
            max_tokens, stated=None, stated_in=folder, positions=None, tokenizer=None
        ),
    )


def _check_vocabulary(
    tokenizer: model_tokenizer.TokenizerFiles, rows: int | None, weights: Path
) -> None:
    if rows is not None and tokenizer.highest_id >= rows:
        raise errors.ModelInvalid(
            tokenizer.file,
            f"has the token id {tokenizer.highest_id}, but {weights} has {rows} rows",
        )


def effective_max_tokens(
    setting: int | None,
    *,
    stated: int | None,
    stated_in: Path,
    positions: int | None,
    tokenizer: int | None,
) -> int | None:
    """Maximum tokens embedded, including special tokens and prompt; None if unlimited.

    A setting comes first, then sentence-transformers' own file (`stated`), then the tokenizer's
    limit. LimitTooLong if the model has fewer positions.
    """
    if setting is not None:
        return _check_limit(setting, "the setting max_tokens", positions)
    if stated is not None and stated < NO_LIMIT:
        return _check_limit(stated, f"max_seq_length in {stated_in}", positions)
    if tokenizer is not None and 0 < tokenizer < NO_LIMIT:
        return tokenizer if positions is None else min(tokenizer, positions)
    return positions


def _check_limit(tokens: int, what: str, positions: int | None) -> int:
    if tokens < 1:
        raise errors.LimitTooShort(f"{what} is {tokens}; at least one token is needed")
    if positions is not None and tokens > positions:
        raise errors.LimitTooLong(
            f"{what} is {tokens} tokens, but the model has {positions} positions;"
            f" set max_tokens to {positions} or less"
        )
    return tokens


@dataclass(frozen=True)
class TransformerSettings:
    """sentence-transformers' own settings of a transformer."""

    file: Path
    max_seq_length: int | None
    do_lower_case: bool


def read_settings(folder: Path) -> TransformerSettings:
    """Read a Transformer module's settings; ModelRefused for unknown ones that change vectors."""
    file = next((folder / name for name in FILES if (folder / name).is_file()), folder / FILES[0])
    config = json_files.read_optional(file)
    task = config.get("transformer_task") or "feature-extraction"
    if task != "feature-extraction":
        raise errors.ModelRefused(f"{file}: a model for {task} is not supported")
    text = (config.get("modality_config") or {"text": TEXT}).get("text")
    if text != TEXT or config.get("module_output_name") not in (None, "token_embeddings"):
        raise errors.ModelRefused(f"{file}: the transformer must return token states")
    for key in (
        "processing_kwargs", "query_expansion", "query_length", "document_length",
        "tokenizer_name_or_path",
    ):  # fmt: skip
        if config.get(key):
            raise errors.ModelRefused(f"{file}: the setting {key} is not supported")
    for key in ("model_args", "model_kwargs", "config_args", "config_kwargs"):
        _refuse_arguments(file, key, config.get(key) or {}, HARMLESS_ARGUMENTS)
    length = config.get("max_seq_length")
    for key in ("tokenizer_args", "processor_kwargs"):
        arguments = config.get(key) or {}
        _refuse_arguments(file, key, arguments, {"model_max_length", "use_fast"})
        length = arguments.get("model_max_length", length)
    return TransformerSettings(
        file=file,
        max_seq_length=json_files.whole_number(file, {"max_seq_length": length}, "max_seq_length"),
        do_lower_case=bool(config.get("do_lower_case")),
    )


def _refuse_arguments(file: Path, key: str, arguments: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(set(arguments) - known - {"trust_remote_code"})
    if unknown:
        raise errors.ModelRefused(f"{file}: {key} {', '.join(unknown)} is not supported")
