"""The errors of this package. Messages say what happened, to which object, and what to do."""

from pathlib import Path


class EmbeddingError(Exception):
    """A text or a model could not be processed; base of all errors of this package."""


class ModelNotFound(EmbeddingError):
    """No directory holds the named model."""


class ModelUnavailable(EmbeddingError):
    """The model could not be downloaded."""


class ModelInvalid(EmbeddingError):
    """A file of the model is missing, damaged or contradicts another."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason


class ModelRefused(EmbeddingError):
    """The files are valid, but this kind of model is not supported."""


class LimitTooLong(EmbeddingError):
    """The limit has more tokens than the model has positions."""


class LimitTooShort(EmbeddingError):
    """The limit leaves no room for a token."""


class DimensionsRefused(EmbeddingError):
    """The vectors can't have the requested number of dimensions."""


class EncoderFailed(EmbeddingError):
    """The encoder returned no usable vector."""


class CanaryMoved(EmbeddingError):
    """The encoder's vectors differ from those that define the space."""


class EncoderDied(EncoderFailed):
    """The encoding thread ended; it is being restarted."""


class NoTokens(EmbeddingError):
    """The text has no token with content; `index` is its position in the request."""

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


class TextTooLong(EmbeddingError):
    """A text has more tokens than the model reads, and truncation was not allowed."""

    def __init__(self, index: int, tokens: int, limit: int) -> None:
        super().__init__(
            f"text {index} has {tokens:,} tokens with prompt and special tokens; the model reads "
            f"{limit:,}. Shorten it, or allow truncation"
        )
        self.index = index
        self.tokens = tokens
        self.limit = limit


class TextFailed(EmbeddingError):
    """The encoder works, but has no vector for this text."""


class TokenIdsInvalid(EmbeddingError):
    """The model's tokenizer can't have produced this row of token ids."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"row {index} of token ids: {reason}")
        self.index = index
        self.reason = reason


class Overloaded(EmbeddingError):
    """Too much work is waiting; after `retry_after_s` seconds there should be room."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            f"too many texts are waiting to be encoded; try again in {retry_after_s} s"
        )
        self.retry_after_s = retry_after_s


class TooMuch(EmbeddingError):
    """One request has more tokens than may wait at all; the client has to split it."""

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__(
            f"the texts have about {tokens:,} tokens together; one request may have at most "
            f"{limit:,}: send fewer texts at once"
        )
        self.tokens = tokens
        self.limit = limit
