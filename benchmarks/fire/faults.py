"""What the oracle finds wrong."""

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
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


def counts(found: Iterable[Fault]) -> dict[Kind, int]:
    """Of every kind, those too that there are none of."""
    counted = collections.Counter(fault.kind for fault in found)
    return {kind: counted[kind] for kind in KINDS}


def describe(found: Iterable[Fault]) -> str:
    """The first few of each kind, one a line."""
    by_kind: dict[Kind, list[Fault]] = {kind: [] for kind in KINDS}
    for fault in found:
        by_kind[fault.kind].append(fault)
    lines: list[str] = []
    for kind, faults in by_kind.items():
        lines += [str(fault) for fault in faults[:SHOWN]]
        if len(faults) > SHOWN:
            lines.append(f"{kind}: and {len(faults) - SHOWN:,} more")
    return "\n".join(lines)
