"""What can go wrong between documents and vectors.

IndexingError
├── ModelMissing         the files of a space that is needed are not on this machine
├── SpaceMismatch        the caller demanded another space
├── ModelUnknown         a request named a model that this service may not load
├── LoadRefused          a model's canaries moved: it may neither write nor serve
├── NoMemory             the model does not fit beside those that must stay loaded
├── LinkRefused          two fingerprints are not shown to be the same space
├── AdoptionRefused      a table cannot become a collection as it is
└── Busy                 the database stayed away, or a write kept losing against others
"""

from collections.abc import Sequence


class IndexingError(Exception):
    pass


class ModelMissing(IndexingError):
    """`default` is a model that is here, to which what needs the missing one can be moved."""

    def __init__(self, model_id: str, fingerprint: str, looked_in: str, default: str) -> None:
        super().__init__(
            f"the vectors were made by {model_id} (space {fingerprint}), and no model on this "
            f"machine has that fingerprint; looked in {looked_in}. Put its files back into one of "
            "these directories and restart, or move the collection to another model: `vecmark "
            f"migrate start --to {default} --collection NAME`. Writes are stored meanwhile and "
            "embedded then"
        )
        self.model_id = model_id
        self.fingerprint = fingerprint


class SpaceMismatch(IndexingError):
    def __init__(self, expected: str, found: str, model_id: str) -> None:
        super().__init__(
            f"expect_space is {expected!r}, but the collection is searched in {found!r} "
            f"({model_id}); nothing was done"
        )
        self.found = found


class ModelUnknown(IndexingError):
    pass


class LoadRefused(IndexingError):
    pass


class NoMemory(IndexingError):
    """No model may go for the one asked for; `taken` are the loaded ones, as text."""

    def __init__(self, name: str, *, needs: str, limit: str, taken: Sequence[str]) -> None:
        super().__init__(
            f"there is no memory for the model {name}: it needs about {needs}, all models together "
            f"may take {limit}, and none of those loaded can go now: {', '.join(taken) or 'none'}. "
            "Raise VECMARK_MODEL_MEMORY, or delete collections that keep a model loaded"
        )


class LinkRefused(IndexingError):
    pass


class AdoptionRefused(IndexingError):
    pass


class Busy(IndexingError):
    pass


def first(error: BaseException) -> Exception:
    """The first error in a group, else the error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, Exception) else RuntimeError(str(error))
