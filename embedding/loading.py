"""Finding, reading and loading a model by what a person calls it."""

import concurrent.futures
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedding import model
from embedding.canaries import check as canary_check
from embedding.conversion import cache, convert
from embedding.encoders import devices, factory
from embedding.model import MAX_QUEUED_TOKENS, LoadedModel
from embedding.model_files import description, space
from embedding.registry import sources
from embedding.text import tokenizer as text_tokenizer


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
    chosen = "cpu" if model.int8 is not None else devices.choose_device(device)
    entry, result = cache.ensure(model, cache_dir=cache_dir, device=chosen)
    tokenizer = text_tokenizer.load(model)
    check = canary_check.Check(tokenizer, model, np.load(entry / convert.REFERENCE))
    return LoadedModel(
        model,
        factory.open_encoder(model, result.backend, result.dtype, device=chosen, folder=entry),
        check,
        tokenizer,
        _build(model, result, chosen),
        max_queued_tokens=max_queued_tokens,
    )


def _build(
    model: description.ModelDescription, result: convert.Conversion, device: str
) -> dict[str, space.Json]:
    """What made the vectors, beside the space: equal builds need no second full check."""
    return {
        "backend": result.backend,
        "dtype": result.dtype,
        "device": device,
        "cpu": devices.cpu_kind(),
        "versions": convert.versions(),
        "converted_with": result.versions,
        "query_prompt": model.query_prompt.text,
        "reason": result.reason,
        "checks": result.checks,
    }


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Where models are looked for, and which is the default of new collections."""

    default: str
    options: description.ModelOptions
    roots: Sequence[Path]
    models_dir: Path
    cache_dir: Path
    device: str
    max_queued_tokens: int = model.MAX_QUEUED_TOKENS

    def __str__(self) -> str:
        return ", ".join([self.default, *map(str, self.roots), str(self.models_dir)])

    def source(self, name: str) -> sources.ModelSource:
        """Raises ModelNotFound."""
        return sources.resolve(name, roots=self.roots, models_dir=self.models_dir)


def load_from(
    settings: ModelSettings, described: description.ModelDescription
) -> model.LoadedModel:
    """Blocks, for many seconds where the model has to be converted. Raises EmbeddingError."""
    return load(
        described,
        cache_dir=settings.cache_dir,
        device=settings.device,
        max_queued_tokens=settings.max_queued_tokens,
    )


def begin_loading(settings: ModelSettings) -> concurrent.futures.Future[LoadedModel]:
    """Load the default model beside the caller, so that a start can do other things."""

    def load_default() -> LoadedModel:
        source = settings.source(settings.default)
        described = sources.descriptions.get(source, settings.options.over(source.options))
        return load_from(settings, described)

    return on_thread(load_default)


def on_thread(load: Callable[[], LoadedModel]) -> concurrent.futures.Future[LoadedModel]:
    """Load a model on a thread of its own."""
    loading: concurrent.futures.Future[LoadedModel] = concurrent.futures.Future()

    def work() -> None:
        if not loading.set_running_or_notify_cancel():
            return
        try:
            loading.set_result(load())
        except BaseException as error:
            loading.set_exception(error)

    # A daemon: a conversion under way must not keep the process from ending.
    threading.Thread(target=work, name="load-model", daemon=True).start()
    return loading
