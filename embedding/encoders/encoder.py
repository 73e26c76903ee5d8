"""What every encoder offers, how rows become batches, and the vectors that come out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from embedding import errors

Row = NDArray[np.int32]  # the token ids of one text
Rows = Sequence[Row]
Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """Turns token ids into vectors, (rows, dimensions), which are not checked yet.

    `pooled_from`: how many tokens at the start of each row pooling leaves out.
    """

    backend: str
    dtype: str
    separate_query: bool  # `query` has its own instance, which `bulk` doesn't slow down
    parallel_batches: int  # how many `bulk` calls run at once, each on its own thread
    batch_tokens: int  # rows x padded length of a batch of the best size
    batch_rows: int

    def query(self, rows: Rows, pooled_from: int) -> Vectors:
        """Used if `separate_query`: fast even while `bulk` is busy."""
        ...

    def bulk(self, rows: Rows, pooled_from: int) -> Vectors: ...

    def close(self) -> None: ...


def normalize(vectors: Vectors) -> Vectors:
    """The vectors at exactly unit length; EncoderFailed if one is not finite or has length zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        raise errors.EncoderFailed("the encoder gave a vector that is not finite")
    if not (lengths > 1e-6).all():
        raise errors.EncoderFailed("the encoder gave a vector of length zero")
    result: Vectors = (vectors / lengths).astype(np.float32)
    return result


def isolate(run: Callable[[Rows], Vectors], rows: Rows) -> tuple[list[Vectors], dict[int, str]]:
    """Encode rows of which any may make its batch fail: halve it until the failing row is alone.

    Returns a vector for each row, empty for those that fail, and the reasons by row.
    """
    try:
        return list(normalize(run(rows))), {}
    except Exception as exc:  # backends raise anything; the halves are tried
        if len(rows) == 1:
            return [np.empty(0, np.float32)], {0: f"{type(exc).__name__}: {exc}"}
    middle = len(rows) // 2
    vectors, failures = isolate(run, rows[:middle])
    more_vectors, more_failures = isolate(run, rows[middle:])
    failures.update({middle + no: reason for no, reason in more_failures.items()})
    return vectors + more_vectors, failures


# Lengths are rounded up to this: OpenVINO keeps memory and code for each shape it has seen, and
# unrounded texts have hundreds.
LENGTH_STEP = 16


def plan_batches(lengths: Sequence[int], *, batch_tokens: int, max_rows: int) -> list[list[int]]:
    """Indexes of rows in batches of similar lengths, the longest first.

    Rows x padded length stays within `batch_tokens`; a longer row is a batch by itself.
    """
    batches: list[list[int]] = []
    budget = 0
    for index in sorted(range(len(lengths)), key=lambda no: -lengths[no]):
        if not batches or len(batches[-1]) >= budget:
            batches.append([])
            budget = min(max_rows, max(1, batch_tokens // padded_length(lengths[index])))
        batches[-1].append(index)
    return batches


def padded_length(length: int, step: int = LENGTH_STEP) -> int:
    return max(step, -(-length // step) * step)


def pad(
    rows: Rows, *, at_most: int | None = None, step: int = LENGTH_STEP
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids and attention mask, (rows, padded length); padding stays within `at_most` positions."""
    longest = max(len(row) for row in rows)
    width = padded_length(longest, step)
    if at_most is not None:
        width = max(longest, min(width, at_most))
    ids = np.zeros((len(rows), width), dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for no, row in enumerate(rows):
        ids[no, : len(row)] = row
        mask[no, : len(row)] = 1
    return ids, mask


@dataclass(frozen=True, eq=False)
class Encoded:
    """Vectors of one space, (n, dimensions), finite and of unit length except for `failures`.

    `failures`: by row, why the encoder gave no vector; these rows are NaN. `tokens`: how many were
    read of each text, prompt and special tokens included. `cut`: the text had more.
    """

    fingerprint: str
    vectors: NDArray[np.float32]
    failures: Mapping[int, str] = field(default_factory=dict)
    tokens: tuple[int, ...] = ()
    cut: tuple[bool, ...] = ()


def concatenate(parts: Sequence[Encoded]) -> Encoded:
    """One or more parts of the same space, as if they had been encoded together."""
    failures: dict[int, str] = {}
    tokens: tuple[int, ...] = ()
    cut: tuple[bool, ...] = ()
    for part in parts:
        failures |= {len(tokens) + no: reason for no, reason in part.failures.items()}
        tokens += part.tokens
        cut += part.cut
    vectors = np.concatenate([part.vectors for part in parts])
    return Encoded(parts[0].fingerprint, vectors, failures, tokens, cut)
