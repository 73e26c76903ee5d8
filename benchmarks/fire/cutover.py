"""Which of the two spaces may answer a search, by what was seen of the migration."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.fire.history import Look, Search

CUT_OVER = {"soaking", "done"}
# States in which the cut-over cannot have begun.
BEFORE = {"planned", "backfilling", "building", "verifying", "ready"}


@dataclass(frozen=True)
class Side:
    """An index, and the fingerprint of its space."""

    index: int
    space: str


@dataclass(frozen=True)
class Cutover:
    """It happened between `not_before` and `known`; what was sent after `known` sees the target."""

    source: Side
    target: Side
    not_before: float
    known: float

    @classmethod
    def of(cls, source: Side, target: Side, looks: Sequence[Look]) -> "Cutover":
        return cls(
            source,
            target,
            max((one.invoked for one in looks if one.state in BEFORE), default=-math.inf),
            min((one.answered for one in looks if one.state in CUT_OVER), default=math.inf),
        )

    def may_answer(self, begun: float, ended: float) -> list[Side]:
        """The sides that may answer what was sent and answered at these times."""
        sides = []
        if begun < self.known:
            sides.append(self.source)
        if ended > self.not_before:
            sides.append(self.target)
        return sides

    def wrong(self, search: Search) -> str | None:
        """What is wrong with the space that answered, or with the refusal of the one demanded."""
        sides = self.may_answer(search.invoked, search.answered)
        if search.status == 409:
            if any(side.space != search.expects for side in sides):
                return None
            return f"{search.expects} was refused while it alone could answer"
        answered = Side(search.index, search.space)
        if answered not in {self.source, self.target}:
            return f"index {search.index} and space {search.space} belong to no side"
        if answered not in sides:
            return f"index {search.index} answered after the cut-over, or before it"
        if search.expects is not None and search.expects != search.space:
            return f"{search.expects} was demanded, {search.space} answered"
        return None
