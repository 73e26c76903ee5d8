from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


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
