from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedding import errors, model_files

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


def read(folder: Path) -> TransformerSettings:
    """Read a Transformer module's own settings; ModelRefused for any that changes the vectors."""
    file = next((folder / name for name in FILES if (folder / name).is_file()), folder / FILES[0])
    config = model_files.read_optional(file)
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
        max_seq_length=model_files.whole_number(file, {"max_seq_length": length}, "max_seq_length"),
        do_lower_case=bool(config.get("do_lower_case")),
    )


def _refuse_arguments(file: Path, key: str, arguments: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(set(arguments) - known - {"trust_remote_code"})
    if unknown:
        raise errors.ModelRefused(f"{file}: {key} {', '.join(unknown)} is not served")
