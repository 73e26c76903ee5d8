"""Finding, reading and loading a model by what a person calls it."""

import concurrent.futures
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from embedding import description, loading, model, sources


@dataclass(frozen=True, kw_only=True)
class Places:
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

    def source(self, name: str) -> sources.Source:
        """Raises ModelNotFound."""
        return sources.resolve(name, roots=self.roots, models_dir=self.models_dir)


def load(places: Places, described: description.ModelDescription) -> model.LoadedModel:
    """Blocks, for many seconds where the model has to be converted. Raises EmbeddingError."""
    return loading.load(
        described,
        cache_dir=places.cache_dir,
        device=places.device,
        max_queued_tokens=places.max_queued_tokens,
    )


def begin(places: Places) -> "concurrent.futures.Future[model.LoadedModel]":
    """Load the default model on a thread of its own, so that a start can do other things."""
    begun: concurrent.futures.Future[model.LoadedModel] = concurrent.futures.Future()

    def work() -> None:
        if not begun.set_running_or_notify_cancel():
            return
        try:
            source = places.source(places.default)
            described = sources.descriptions.get(source, places.options.over(source.options))
            begun.set_result(load(places, described))
        except BaseException as error:
            begun.set_exception(error)

    threading.Thread(target=work, name="load-default", daemon=True).start()
    return begun
