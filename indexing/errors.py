"""Errors between documents and vectors.

IndexingError
├── ModelMissing         the model files of a space that is needed are not on this machine
├── SpaceMismatch        the caller expected another space
├── ModelUnknown         a request named a model that this service may not load
├── LoadRefused          a model's canaries moved: it is not used to write or to search
├── NoMemory             the model does not fit next to those that must stay loaded
├── LinkRefused          two fingerprints were not shown to be the same space
├── AdoptionRefused      a table cannot become a collection as it is
└── Busy                 the database was unavailable, or other writes kept getting in first
"""

from collections.abc import Sequence


class IndexingError(Exception):
    """The base of this package's errors."""


class ModelMissing(IndexingError):
    """`default`: a model on this machine that the collection can be moved to."""

    def __init__(self, model_id: str, fingerprint: str, looked_in: str, default: str) -> None:
        super().__init__(
            f"the vectors were made by {model_id} (space {fingerprint}), and no model on this "
            f"machine has that fingerprint; looked in {looked_in}. Put its files back into one of "
            "these directories and restart, or move the collection to another model: `vecmark "
            f"migrate start --to {default} --collection NAME`. Until then writes are stored, and "
            "embedded later"
        )
        self.model_id = model_id
        self.fingerprint = fingerprint


class SpaceMismatch(IndexingError):
    """`fingerprint` is that of the space that the collection is searched in."""

    def __init__(self, expected: str, fingerprint: str, model_id: str) -> None:
        super().__init__(
            f"expect_space is {expected!r}, but the collection is searched in {fingerprint!r} "
            f"({model_id}); nothing was done"
        )
        self.fingerprint = fingerprint


class ModelUnknown(IndexingError):
    """The name in a request is not one that this service may load."""


class LoadRefused(IndexingError):
    """The model must not be used; the message says why."""


class NoMemory(IndexingError):
    """No loaded model can be unloaded for `name`; `loaded` describes the loaded ones."""

    def __init__(self, name: str, *, needs: str, limit: str, loaded: Sequence[str]) -> None:
        super().__init__(
            f"not enough memory for the model {name}: it needs about {needs}, all models together "
            f"may take {limit}, and none of the loaded ones can be unloaded now "
            f"({', '.join(loaded) or 'none is loaded'}). Raise "
            "VECMARK_MODEL_MEMORY, or delete collections that keep a model loaded"
        )


class LinkRefused(IndexingError):
    """The two spaces stay apart; the message says why."""


class AdoptionRefused(IndexingError):
    """The table can't be adopted; the message says why, and what may help."""


class Busy(IndexingError):
    """The same request may succeed in a few seconds."""


def first(error: BaseException) -> Exception:
    """The first error in a group, else the error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, Exception) else RuntimeError(str(error))
