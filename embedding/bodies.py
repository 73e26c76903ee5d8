from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from embedding import (
    architectures,
    checkpoint,
    errors,
    limits,
    modules,
    spaces,
    tokenizer_files,
    transformer_settings,
)

TABLE = 2


@dataclass(frozen=True)
class Body:
    """The first module, which reads the text: `manifest` and `tokenizer` go into the space."""

    module: modules.Module
    manifest: Mapping[str, spaces.Json]
    tokenizer: Mapping[str, spaces.Json]
    lower_case: bool
    dimensions: int
    limit: int | None


def read(folder: Path, step: modules.Module, *, max_tokens: int | None) -> Body:
    """Read and hash the first module; its limit is `max_tokens` where that is set."""
    if step.kind == "StaticEmbedding":
        return _static(folder, step, max_tokens)
    settings = transformer_settings.read(folder)
    architecture = architectures.read(folder)
    weights = architectures.read_weights(folder, architecture)
    tokenizer = tokenizer_files.read(
        folder, model_type=architecture.model_type, do_lower_case=settings.do_lower_case
    )
    _check_vocabulary(tokenizer, architecture.vocabulary, weights.file)
    shown: dict[str, spaces.Json] = {
        "model_type": architecture.model_type,
        "dimensions": architecture.hidden_size,
        "positions": architecture.positions,
        "do_lower_case": settings.do_lower_case,
    }
    return Body(
        module=modules.Module(step.kind, shown, step.folder),
        manifest={
            "kind": step.kind,
            "config": architecture.summary(),
            "weights": weights.summary(),
        },
        tokenizer=tokenizer.summary(),
        lower_case=tokenizer.lower_case,
        dimensions=architecture.hidden_size,
        limit=limits.effective(
            max_tokens,
            stated=settings.max_seq_length,
            stated_in=settings.file,
            positions=architecture.positions,
            tokenizer=tokenizer.model_max_length,
        ),
    )


def _static(folder: Path, step: modules.Module, max_tokens: int | None) -> Body:
    weights = checkpoint.read(folder)
    # model2vec calls the table "embeddings"; sentence-transformers saves it under its own name.
    if set(weights.tensors) == {"embeddings"}:
        table = weights.tensors["embeddings"]
        named = checkpoint.Tensor("embedding.weight", table.dtype, table.shape, table.sha256)
        weights = checkpoint.Checkpoint(weights.file, {named.name: named})
    shape = weights.shape("embedding.weight") or weights.shape("embeddings")
    if shape is None or len(shape) != TABLE:
        raise errors.ModelInvalid(weights.file, "holds no table of embeddings")
    tokenizer = tokenizer_files.read(folder, model_type="", do_lower_case=False)
    mapping = weights.shape("mapping")
    _check_vocabulary(tokenizer, mapping[0] if mapping else shape[0], weights.file)
    return Body(
        module=modules.Module(step.kind, {"dimensions": shape[1], "tokens": shape[0]}, step.folder),
        manifest={"kind": step.kind, "weights": weights.summary()},
        tokenizer=tokenizer.summary(),
        lower_case=tokenizer.lower_case,
        dimensions=shape[1],
        # A sum over tokens has no positions, and sentence-transformers reads no limit for it.
        limit=limits.effective(
            max_tokens, stated=None, stated_in=folder, positions=None, tokenizer=None
        ),
    )


def _check_vocabulary(
    tokenizer: tokenizer_files.TokenizerFiles, rows: int | None, weights: Path
) -> None:
    if rows is not None and tokenizer.highest_id >= rows:
        raise errors.ModelInvalid(
            tokenizer.file,
            f"has the token id {tokenizer.highest_id}, but {weights} holds {rows} rows",
        )
