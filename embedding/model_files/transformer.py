from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedding import errors
from embedding.model_files import architecture as model_architecture
from embedding.model_files import checkpoint, json_files, modules, space
from embedding.model_files import tokenizer as model_tokenizer

TABLE = 2


@dataclass(frozen=True)
class TransformerInfo:
    """The first module, which reads the text: `manifest` and `tokenizer` go into the space."""

    module: modules.Module
    manifest: Mapping[str, space.Json]
    tokenizer: Mapping[str, space.Json]
    lower_case: bool
    dimensions: int
    limit: int | None


def read(folder: Path, step: modules.Module, *, max_tokens: int | None) -> TransformerInfo:
    """Read and hash the first module; its limit is `max_tokens` where that is set."""
    if step.kind == "StaticEmbedding":
        return _static(folder, step, max_tokens)
    settings = read_settings(folder)
    architecture = model_architecture.read(folder)
    weights = model_architecture.read_weights(folder, architecture)
    tokenizer = model_tokenizer.read(
        folder, model_type=architecture.model_type, do_lower_case=settings.do_lower_case
    )
    _check_vocabulary(tokenizer, architecture.vocabulary, weights.file)
    shown: dict[str, space.Json] = {
        "model_type": architecture.model_type,
        "dimensions": architecture.hidden_size,
        "positions": architecture.positions,
        "do_lower_case": settings.do_lower_case,
    }
    return TransformerInfo(
        module=modules.Module(step.kind, shown, step.folder),
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


def _static(folder: Path, step: modules.Module, max_tokens: int | None) -> TransformerInfo:
    weights = checkpoint.read(folder)
    # model2vec calls the table "embeddings"; sentence-transformers saves it under its own name.
    if set(weights.tensors) == {"embeddings"}:
        table = weights.tensors["embeddings"]
        named = checkpoint.Tensor("embedding.weight", table.dtype, table.shape, table.sha256)
        weights = checkpoint.Checkpoint(weights.file, {named.name: named})
    shape = weights.shape("embedding.weight") or weights.shape("embeddings")
    if shape is None or len(shape) != TABLE:
        raise errors.ModelInvalid(weights.file, "holds no table of embeddings")
    tokenizer = model_tokenizer.read(folder, model_type="", do_lower_case=False)
    mapping = weights.shape("mapping")
    _check_vocabulary(tokenizer, mapping[0] if mapping else shape[0], weights.file)
    return TransformerInfo(
        module=modules.Module(step.kind, {"dimensions": shape[1], "tokens": shape[0]}, step.folder),
        manifest={"kind": step.kind, "weights": weights.summary()},
        tokenizer=tokenizer.summary(),
        lower_case=tokenizer.lower_case,
        dimensions=shape[1],
        # A sum over tokens has no positions, and sentence-transformers reads no limit for it.
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
            f"has the token id {tokenizer.highest_id}, but {weights} holds {rows} rows",
        )


# Tokenizers that know no limit say 1e30; a real one this long doesn't exist.
NO_LIMIT = 10_000_000


def effective_max_tokens(
    setting: int | None,
    *,
    stated: int | None,
    stated_in: Path,
    positions: int | None,
    tokenizer: int | None,
) -> int | None:
    """How many tokens, special ones and prompt included, are embedded at most; None for no limit.

    A setting comes first, then what sentence-transformers' file states, then the tokenizer's own
    limit; none may be longer than the model has positions for: LimitTooLong.
    """
    if setting is not None:
        return _checked(setting, "the setting max_tokens", positions)
    if stated is not None and stated < NO_LIMIT:
        return _checked(stated, f"max_seq_length in {stated_in}", positions)
    if tokenizer is not None and 0 < tokenizer < NO_LIMIT:
        return tokenizer if positions is None else min(tokenizer, positions)
    return positions


def _checked(tokens: int, what: str, positions: int | None) -> int:
    if tokens < 1:
        raise errors.LimitTooShort(f"{what} is {tokens}; at least one token is needed")
    if positions is not None and tokens > positions:
        raise errors.LimitTooLong(
            f"{what} is {tokens} tokens, but the model has {positions} positions;"
            f" set max_tokens to {positions} or less"
        )
    return tokens


# The library's own order; only the first was written after its first year.
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

# Where and how fast a model runs, never what comes out.
HARMLESS_ARGUMENTS = {
    "attn_implementation", "device_map", "dtype", "low_cpu_mem_usage", "torch_dtype",
}  # fmt: skip


@dataclass(frozen=True)
class TransformerSettings:
    """What sentence-transformers adds to a transformer of the transformers library."""

    file: Path
    max_seq_length: int | None
    do_lower_case: bool


def read_settings(folder: Path) -> TransformerSettings:
    """Read a Transformer module's own settings; ModelRefused for any that changes the vectors."""
    file = next((folder / name for name in FILES if (folder / name).is_file()), folder / FILES[0])
    config = json_files.read_optional(file)
    task = config.get("transformer_task") or "feature-extraction"
    if task != "feature-extraction":
        raise errors.ModelRefused(f"{file}: a model for {task} is not served")
    text = (config.get("modality_config") or {"text": TEXT}).get("text")
    if text != TEXT or config.get("module_output_name") not in (None, "token_embeddings"):
        raise errors.ModelRefused(f"{file}: texts must leave the transformer as token states")
    for key in (
        "processing_kwargs", "query_expansion", "query_length", "document_length",
        "tokenizer_name_or_path",
    ):  # fmt: skip
        if config.get(key):
            raise errors.ModelRefused(f"{file}: the setting {key} is not served")
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
        raise errors.ModelRefused(f"{file}: {key} {', '.join(unknown)} is not served")
