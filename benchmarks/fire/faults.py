"""The kinds of faults that the checks can report."""

import collections
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal[
    "stale",
    "lost",
    "resurrected",
    "duplicate",
    "mixed-space",
    "missing",
    "search-error",
    "stalled",
    "died",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
SHOWN = 10


@dataclass(frozen=True)
class Fault:
    kind: Kind
    description: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.description}"


def counts(faults: Iterable[Fault]) -> dict[Kind, int]:
    """The number of faults of every kind, zeros included."""
    counted = collections.Counter(fault.kind for fault in faults)
    return {kind: counted[kind] for kind in KINDS}


def describe(faults: Iterable[Fault]) -> str:
    """The first few faults of each kind, one per line."""
    by_kind: dict[Kind, list[Fault]] = {kind: [] for kind in KINDS}
    for fault in faults:
        by_kind[fault.kind].append(fault)
    lines: list[str] = []
    for kind, of_kind in by_kind.items():
        lines += [str(fault) for fault in of_kind[:SHOWN]]
        if len(of_kind) > SHOWN:
            lines.append(f"{kind}: and {len(of_kind) - SHOWN:,} more")
    return "\n".join(lines)
