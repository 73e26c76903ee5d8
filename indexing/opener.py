"""Reads and opens models on threads, so that nobody waits but who asked."""

import asyncio
import concurrent.futures
import contextlib
import threading

from embedding import description, model, opening, sources
from embedding.errors import EmbeddingError
from embedding.model import LoadedModel

_GRACE_S = 30.0


class Opener:
    """`open` one model at a time."""

    def __init__(self, places: opening.Places) -> None:
        self._places = places
        self._readers = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="read-model")
        self._opening: asyncio.Future[LoadedModel] | None = None

    async def describe(self, source: sources.Source) -> description.ModelDescription:
        """Hash the files, where that wasn't done before. Raises EmbeddingError."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, sources.descriptions.get, source)

    async def find(
        self, fingerprints: set[str], options: description.ModelOptions
    ) -> description.ModelDescription | None:
        """The files of one of these spaces, wherever they are; None where they are not here."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._find, fingerprints, options)

    def _find(
        self, fingerprints: set[str], options: description.ModelOptions
    ) -> description.ModelDescription | None:
        try:
            default = self._places.source(self._places.default)
        except EmbeddingError:
            default = None
        for fingerprint in fingerprints:
            with contextlib.suppress(EmbeddingError):
                return sources.find(
                    fingerprint,
                    options,
                    roots=self._places.roots,
                    models_dir=self._places.models_dir,
                    default=default,
                )
        return None

    async def open(self, described: description.ModelDescription) -> model.LoadedModel:
        """Many seconds where the model has to be converted. Raises EmbeddingError."""
        loading: concurrent.futures.Future[LoadedModel] = concurrent.futures.Future()

        def work() -> None:
            try:
                loading.set_result(opening.load(self._places, described))
            except BaseException as error:
                loading.set_exception(error)

        # A daemon: a conversion under way must not keep the process from ending.
        threading.Thread(target=work, name="load-model", daemon=True).start()
        self._opening = asyncio.wrap_future(loading)
        opened = await asyncio.shield(self._opening)
        self._opening = None
        return opened

    async def close(self) -> None:
        """Wait for a load that a stop overtook: native threads that outlive Python abort it."""
        self._readers.shutdown(wait=False, cancel_futures=True)
        if self._opening is None:
            return
        done, _ = await asyncio.wait({self._opening}, timeout=_GRACE_S)
        for one in done:
            if one.exception() is None:
                await asyncio.to_thread(one.result().close)
