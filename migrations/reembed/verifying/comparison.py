"""What two spaces find for the same queries, held side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

from migrations.reembed.verifying import metrics
from migrations.reembed.verifying.report import Changed, Overlap, Shown
from storage.search import Hit

AT = 10
MOST_CHANGED = 10
_SHOWN_CHARS = 200
_QUERY_CHARS = 500


@dataclass(frozen=True)
class Compared:
    """One query and its nearest documents in both spaces, AT of each at most."""

    q: str
    old: Sequence[Hit]
    new: Sequence[Hit]

    @property
    def overlap(self) -> float:
        return metrics.overlap(*self._keys)

    @property
    def rank_shift(self) -> float | None:
        return metrics.rank_shift(*self._keys)

    @property
    def _keys(self) -> tuple[list[object], list[object]]:
        return [hit.doc_key for hit in self.old], [hit.doc_key for hit in self.new]


def overlap(compared: Sequence[Compared]) -> Overlap | None:
    """None where no query found anything in either space."""
    found = [one for one in compared if one.old or one.new]
    if not found:
        return None
    shifts = [shift for one in found if (shift := one.rank_shift) is not None]
    return Overlap(
        mean=sum(one.overlap for one in found) / len(found),
        at=AT,
        rank_shift=sum(shifts) / len(shifts) if shifts else 0.0,
    )


def most_changed(compared: Sequence[Compared]) -> list[Changed]:
    """The least overlap first, then the greatest shift; those that changed at all."""
    ranked = sorted(compared, key=lambda one: (one.overlap, -(one.rank_shift or 0.0)))
    changed = [one for one in ranked if one.overlap < 1 or one.rank_shift]
    return [
        Changed(
            q=shortened(one.q, _QUERY_CHARS),
            overlap=one.overlap,
            old=[_shown(hit) for hit in one.old],
            new=[_shown(hit) for hit in one.new],
        )
        for one in changed[:MOST_CHANGED]
    ]


def shortened(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars - 1].rstrip() + "\u2026"


def _shown(hit: Hit) -> Shown:
    return Shown(id=hit.id, score=hit.score, text=shortened(hit.text, _SHOWN_CHARS))
