"""Which of the two spaces may answer a search, judged by observations of the migration."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.fire.history import Observation, Search

CUT_OVER = {"soaking", "done"}
# States in which the cutover can't have begun.
BEFORE = {"planned", "backfilling", "building", "verifying", "ready"}


@dataclass(frozen=True)
class Side:
    """An index and its space's fingerprint."""

    index: int
    space: str


@dataclass(frozen=True)
class Cutover:
    """It happened between `not_before` and `known`; requests sent after `known` see the target."""

    source: Side
    target: Side
    not_before: float
    known: float

    @classmethod
    def of(cls, source: Side, target: Side, observations: Sequence[Observation]) -> "Cutover":
        return cls(
            source,
            target,
            max(
                (
                    observation.invoked
                    for observation in observations
                    if observation.state in BEFORE
                ),
                default=-math.inf,
            ),
            min(
                (
                    observation.answered
                    for observation in observations
                    if observation.state in CUT_OVER
                ),
                default=math.inf,
            ),
        )

    def may_answer(self, started: float, ended: float) -> list[Side]:
        """The sides that may answer a request with these start and end times."""
        sides = []
        if started < self.known:
            sides.append(self.source)
        if ended > self.not_before:
            sides.append(self.target)
        return sides

    def fault_in(self, search: Search) -> str | None:
        """What is wrong, if anything, with the space that answered or with the refusal."""
        sides = self.may_answer(search.invoked, search.answered)
        if search.status == 409:
            if any(side.space != search.expects for side in sides):
                return None
            return f"{search.expects} was refused when only it could answer"
        answered = Side(search.index, search.space)
        if answered not in {self.source, self.target}:
            return f"index {search.index} with space {search.space} is neither side"
        if answered not in sides:
            return f"index {search.index} answered on the wrong side of the cutover"
        if search.expects is not None and search.expects != search.space:
            return f"expected {search.expects}, but {search.space} answered"
        return None
