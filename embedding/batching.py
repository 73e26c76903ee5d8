from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Lengths are rounded up to this: OpenVINO keeps memory and code for each shape that it has seen,
# and an unrounded stream of texts shows it hundreds.
LENGTH_STEP = 16


def plan(lengths: Sequence[int], *, batch_tokens: int, max_rows: int) -> list[list[int]]:
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
    rows: Sequence[NDArray[np.int32]], *, at_most: int | None = None, step: int = LENGTH_STEP
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
