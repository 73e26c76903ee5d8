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


class EncoderDied(EncoderFailed):
    """The thread that encodes ended; it is started again."""


class NoTokens(EmbeddingError):
    """The text has no token that carries content; `index` is its place among others."""

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


class TextTooLong(EmbeddingError):
    """A text has more tokens than the model reads, and must not be cut."""

    def __init__(self, index: int, tokens: int, limit: int) -> None:
        super().__init__(
            f"text {index} has {tokens:,} tokens with prompt and special tokens; the model reads "
            f"{limit:,}. Shorten it, or let it be cut"
        )
        self.index = index
        self.tokens = tokens
        self.limit = limit


class TextFailed(EmbeddingError):
    """The encoder works, but gives no vector for this text."""


class TokenIdsInvalid(EmbeddingError):
    """A row of token ids is none that the model's tokenizer gives."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"row {index} of token ids: {reason}")
        self.index = index
        self.reason = reason


class Overloaded(EmbeddingError):
    """More work waits than is taken at once; `retry_after_s` is when there should be room."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            f"more texts are waiting than are taken at once; try again in {retry_after_s} s"
        )
        self.retry_after_s = retry_after_s


class TooMuch(EmbeddingError):
    """One request has more tokens than can ever wait; splitting it helps."""

    def __init__(self, tokens: int, limit: int) -> None:
        super().__init__(
            f"the texts have about {tokens:,} tokens together; at most {limit:,} are taken in one "
            "request: send fewer texts at once"
        )
        self.tokens = tokens
        self.limit = limit
