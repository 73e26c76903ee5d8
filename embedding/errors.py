from pathlib import Path


class EmbeddingError(Exception):
    """Whatever keeps a text from becoming a vector."""


class ModelNotFound(EmbeddingError):
    """No directory holds the model that was named."""


class ModelUnavailable(EmbeddingError):
    """The model could not be downloaded."""


class ModelInvalid(EmbeddingError):
    """A file of the model is missing, damaged or contradicts another."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason


class ModelRefused(EmbeddingError):
    """The files are sound, but this kind of model is not served."""


class LimitTooLong(EmbeddingError):
    """More tokens are asked for than the model has positions."""


class LimitTooShort(EmbeddingError):
    """A limit that leaves no room for a token."""


class DimensionsRefused(EmbeddingError):
    """The vectors can't have the number of dimensions asked for."""


class EncoderFailed(EmbeddingError):
    """The encoder gave no usable vector."""


class CanaryMoved(EmbeddingError):
    """The encoder's vectors are not those that the space was made with."""


class NoTokens(EmbeddingError):
    """The text has no token that carries content."""
