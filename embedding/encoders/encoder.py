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


# Lengths are rounded up to this: OpenVINO keeps memory and code for each shape that it has seen,
# and an unrounded stream of texts shows it hundreds.
LENGTH_STEP = 16


def plan_batches(lengths: Sequence[int], *, batch_tokens: int, max_rows: int) -> list[list[int]]:
    """All rows known beforehand: indexes in batches of like lengths, the longest first.

    Rows x padded length stays within `batch_tokens`; a row over it makes a batch of its own.
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
    """Vectors of one space, (n, dimensions): finite and of unit length, but for `failures`.

    `failures` says why, by place, for what the encoder gave no vector; these rows are NaN.
    `tokens` were read of each text, prompt and special tokens included; `cut`: there were more.
    """

    fingerprint: str
    vectors: NDArray[np.float32]
    failures: Mapping[int, str] = field(default_factory=dict)
    tokens: tuple[int, ...] = ()
    cut: tuple[bool, ...] = ()


def joined(parts: Sequence[Encoded]) -> Encoded:
    """At least one part, each of the same space, as if they had been encoded together."""
    failures: dict[int, str] = {}
    tokens: tuple[int, ...] = ()
    cut: tuple[bool, ...] = ()
    for part in parts:
        failures |= {len(tokens) + no: reason for no, reason in part.failures.items()}
        tokens += part.tokens
        cut += part.cut
    vectors = np.concatenate([part.vectors for part in parts])
    return Encoded(parts[0].fingerprint, vectors, failures, tokens, cut)
