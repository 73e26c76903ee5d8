"""What the names in requests stand for: looked up on a thread of its own, believed for a second."""

import asyncio
import concurrent.futures
import dataclasses
import time

from embedding import loading
from embedding.errors import ModelNotFound
from embedding.registry import sources
from indexing import errors

FINGERPRINT = "fp1:"
# Files that are replaced behind a name are noticed after this.
_BELIEVED_S = 1.0
# A model that can't be loaded is tried again after this, or as soon as its files change.
_FAILED_S = 30.0
_LONGEST = 256


@dataclasses.dataclass(frozen=True)
class Place:
    """A model's files as they were at one time."""

    source: sources.ModelSource
    stamp: sources.Stamp


@dataclasses.dataclass
class _Meaning:
    place: Place
    fingerprint: str
    checked: float


@dataclasses.dataclass(frozen=True)
class _Failure:
    place: Place | None
    error: Exception
    until: float


class ModelResolver:
    """Keeps names of models that could be loaded, and failures for as long as they count."""

    def __init__(self, places: loading.ModelSettings) -> None:
        self._places = places
        self._meanings: dict[str, _Meaning] = {}
        self._failures: dict[str, _Failure] = {}
        # Not the loop's own threads: loads and hashing may have taken all of them.
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="model-names")

    def fresh(self, name: str) -> str | None:
        """The fingerprint that the name stood for within the last second."""
        known = self._meanings.get(name)
        if known is None or time.monotonic() - known.checked > _BELIEVED_S:
            return None
        return known.fingerprint

    async def locate(self, name: str) -> Place:
        """Find the files now. Raises ModelUnknown for what is no name, ModelNotFound."""
        refuse_paths(name)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._locate, name)

    def _locate(self, name: str) -> Place:
        try:
            source = self._places.source(name)
            return Place(source, sources.stamp_of(source.directory))
        except OSError as error:
            raise ModelNotFound(f"no model {name!r}: {error.strerror}") from error

    def recall(self, name: str, place: Place | None) -> str | None:
        """The fingerprint of these very files. Raises what hindered their last load."""
        failure = self._failures.get(name)
        if failure is not None and failure.place == place and failure.until > time.monotonic():
            raise failure.error.with_traceback(None)
        known = self._meanings.get(name)
        if known is None or known.place != place:
            return None
        known.checked = time.monotonic()
        return known.fingerprint

    def remember(self, name: str, place: Place, fingerprint: str) -> None:
        self._failures.pop(name, None)
        self._meanings[name] = _Meaning(place, fingerprint, time.monotonic())

    def remember_failure(self, name: str, place: Place | None, error: Exception) -> None:
        now = time.monotonic()
        self._meanings.pop(name, None)
        self._failures = {key: one for key, one in self._failures.items() if one.until > now}
        self._failures[name] = _Failure(place, error, now + _FAILED_S)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def refuse_paths(name: str) -> None:
    """A request never names a path, so that none is probed; ModelUnknown."""
    is_path = name.startswith(("/", ".", "~")) or {"", ".", ".."} & set(name.split("/")[1:])
    if is_path or len(name) > _LONGEST:
        raise errors.ModelUnknown(
            "a request names a model by the name that it was added with (`vecmark models add"
            " DIRECTORY`), by its folder's name under VECMARK_MODEL_ROOTS, by a hub id or by a"
            f" space's fingerprint, not by a path ({name[:_LONGEST]!r})"
        )
