from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from embedding import errors, tokenizing

Rows = Sequence[tokenizing.Ids]
Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """Token ids to vectors, (rows, dimensions), not checked yet.

    `pooled_from`: tokens at the start of each row that pooling leaves out.
    """

    backend: str
    dtype: str
    query_apart: bool  # `query` has an instance of its own, which `bulk` doesn't slow
    lanes: int  # batches that `bulk` takes at once, each from a thread of its own
    batch_tokens: int  # rows x padded length of a batch that is encoded fast
    batch_rows: int

    def query(self, rows: Rows, pooled_from: int) -> Vectors:
        """Used where `query_apart`: soon done even while `bulk` is busy."""
        ...

    def bulk(self, rows: Rows, pooled_from: int) -> Vectors: ...

    def close(self) -> None: ...


def unit(vectors: Vectors) -> Vectors:
    """The vectors at exactly unit length; EncoderFailed if one is not finite or has no length."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        raise errors.EncoderFailed("the encoder gave a vector that is not finite")
    if not (lengths > 1e-6).all():
        raise errors.EncoderFailed("the encoder gave a vector of length zero")
    result: Vectors = (vectors / lengths).astype(np.float32)
    return result


def isolate(run: Callable[[Rows], Vectors], rows: Rows) -> tuple[list[Vectors], dict[int, str]]:
    """Encode rows that may poison their batch: halved until a failing row stands alone.

    Gives a vector for each row, empty for those that fail, and why they do.
    """
    try:
        return list(unit(run(rows))), {}
    except Exception as exc:  # whatever a backend raises: its rows are tried one by one
        if len(rows) == 1:
            return [np.empty(0, np.float32)], {0: f"{type(exc).__name__}: {exc}"}
    middle = len(rows) // 2
    vectors, failures = isolate(run, rows[:middle])
    more_vectors, more_failures = isolate(run, rows[middle:])
    failures.update({middle + no: reason for no, reason in more_failures.items()})
    return vectors + more_vectors, failures
