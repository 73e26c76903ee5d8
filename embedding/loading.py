from pathlib import Path

import numpy as np

from embedding import (
    accelerator,
    canary_check,
    conversion,
    conversion_cache,
    cpu,
    description,
    encoder,
    int8_encoder,
    openvino_encoder,
    spaces,
    static_encoder,
    tokenizing,
    torch_encoder,
)
from embedding.model import MAX_QUEUED_TOKENS, LoadedModel


def load(
    model: description.ModelDescription,
    *,
    cache_dir: Path,
    device: str = "auto",
    max_queued_tokens: int = MAX_QUEUED_TOKENS,
) -> LoadedModel:
    """Load a model, converting it first where the cache lacks it (many seconds); blocks.

    CanaryMoved where no encoder gives sentence-transformers' vectors, EncoderFailed, ModelInvalid.
    """
    chosen = "cpu" if model.int8 is not None else accelerator.choose(device)
    entry, result = conversion_cache.ensure(model, cache_dir=cache_dir, device=chosen)
    tokenizer = tokenizing.load(model)
    check = canary_check.Check(tokenizer, model, np.load(entry / conversion.REFERENCE))
    return LoadedModel(
        model,
        _encoder(model, result, entry, chosen),
        check,
        tokenizer,
        _build(model, result, chosen),
        max_queued_tokens=max_queued_tokens,
    )


def _encoder(
    model: description.ModelDescription, result: conversion.Result, entry: Path, device: str
) -> encoder.Encoder:
    limit = model.space.max_tokens
    if result.dtype == "int8":
        return int8_encoder.Int8Encoder(entry, limit=limit)
    if result.backend == "openvino":
        return openvino_encoder.OpenVINOEncoder(entry, dtype=result.dtype, limit=limit)
    if result.backend == "static":
        return static_encoder.load(model)
    return torch_encoder.TorchEncoder(model, device=device, dtype=result.dtype)


def _build(
    model: description.ModelDescription, result: conversion.Result, device: str
) -> dict[str, spaces.Json]:
    """What made the vectors, beside the space: equal builds need no second full check."""
    return {
        "backend": result.backend,
        "dtype": result.dtype,
        "device": device,
        "cpu": cpu.kind(),
        "versions": conversion.versions(),
        "converted_with": result.versions,
        "query_prompt": model.query_prompt.text,
        "reason": result.reason,
        "checks": result.checks,
    }
