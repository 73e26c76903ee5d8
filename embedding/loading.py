"""Loads models: converted if need be, with the service's settings, in the background."""

import concurrent.futures
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedding import model as model_runtime
from embedding.canaries import check as canary_check
from embedding.conversion import cache, convert
from embedding.encoders import devices, factory
from embedding.model_files import description, space
from embedding.registry import sources
from embedding.text import tokenizer as text_tokenizer


def load(
    model: description.ModelDescription,
    *,
    cache_dir: Path,
    device: str = "auto",
    max_queued_tokens: int = model_runtime.MAX_QUEUED_TOKENS,
) -> model_runtime.LoadedModel:
    """Load a model; converts it first if the cache lacks it. Blocks, for many seconds if it does.

    Raises CanaryMoved if no encoder makes sentence-transformers' vectors, EncoderFailed,
    ModelInvalid.
    """
    device = "cpu" if model.int8 is not None else devices.choose_device(device)
    entry, result = cache.ensure(model, cache_dir=cache_dir, device=device)
    tokenizer = text_tokenizer.load(model)
    check = canary_check.Check(tokenizer, model, np.load(entry / convert.REFERENCE))
    return model_runtime.LoadedModel(
        model,
        factory.open_encoder(model, result.backend, result.dtype, device=device, folder=entry),
        check,
        tokenizer,
        _build(model, result, device),
        max_queued_tokens=max_queued_tokens,
    )


def _build(
    model: description.ModelDescription, result: convert.Conversion, device: str
) -> dict[str, space.Json]:
    """What produced the vectors, besides the space: equal builds need no second full check."""
    return {
        "backend": result.backend,
        "dtype": result.dtype,
        "device": device,
        "cpu": devices.cpu_kind(),
        "versions": convert.library_versions(),
        "converted_with": result.versions,
        "query_prompt": model.query_prompt.text,
        "reason": result.reason,
        "checks": result.checks,
    }


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Where to look for models, and which is the default for new collections."""

    default: str
    options: description.ModelOptions
    roots: Sequence[Path]
    models_dir: Path
    cache_dir: Path
    device: str
    max_queued_tokens: int = model_runtime.MAX_QUEUED_TOKENS

    def __str__(self) -> str:
        return ", ".join([self.default, *map(str, self.roots), str(self.models_dir)])

    def source(self, name: str) -> sources.ModelSource:
        """Raises ModelNotFound."""
        return sources.resolve(name, roots=self.roots, models_dir=self.models_dir)


def load_with(
    settings: ModelSettings, model: description.ModelDescription
) -> model_runtime.LoadedModel:
    """Load a model under the service's settings; blocks. Raises EmbeddingError."""
    return load(
        model,
        cache_dir=settings.cache_dir,
        device=settings.device,
        max_queued_tokens=settings.max_queued_tokens,
    )


def begin_loading(
    settings: ModelSettings,
) -> concurrent.futures.Future[model_runtime.LoadedModel]:
    """Load the default model in the background, while the start goes on."""

    def load_default() -> model_runtime.LoadedModel:
        source = settings.source(settings.default)
        options = settings.options.with_defaults(source.options)
        return load_with(settings, sources.descriptions.get(source, options))

    return on_thread(load_default)


def on_thread(
    load: Callable[[], model_runtime.LoadedModel],
) -> concurrent.futures.Future[model_runtime.LoadedModel]:
    """Load a model on its own thread."""
    future: concurrent.futures.Future[model_runtime.LoadedModel] = concurrent.futures.Future()

    def work() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(load())
        except BaseException as error:
            future.set_exception(error)

    # A daemon, so that a running conversion doesn't keep the process from ending.
    threading.Thread(target=work, name="load-model", daemon=True).start()
    return future
