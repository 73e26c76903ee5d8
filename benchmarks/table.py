"""The table that is printed: each figure beside what it is measured against."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks import metrics

HEADER = ("measured", "figure", "beside", "figure", "ratio", "target", "met", "note")
NUMBERS = {1, 3, 4}


@dataclass(frozen=True)
class Target:
    """What a figure, or its ratio or difference to the other one, should come to."""

    of: Literal["ratio", "figure", "difference"]
    sign: Literal[">=", "<=", "+-"]
    bound: float
    margin: float = 0.0

    def __str__(self) -> str:
        if self.sign == "+-":
            return f"{self.bound:g} ± {self.margin:g}"
        return f"{'' if self.of == 'figure' else f'{self.of} '}{self.sign} {self.bound:g}"

    def is_met(self, value: float) -> bool:
        if self.sign == "+-":
            return abs(value - self.bound) <= self.margin
        return value >= self.bound if self.sign == ">=" else value <= self.bound


@dataclass(frozen=True)
class Row:
    """A figure and its unit; where there is one, the figure beside it in the same unit."""

    part: str
    measured: str
    value: float
    unit: str = ""
    beside: str = ""
    other: float | None = None
    target: Target | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return None if not self.other else self.value / self.other

    @property
    def difference(self) -> float | None:
        return None if self.other is None else self.value - self.other

    @property
    def is_met(self) -> bool | None:
        """None where there is no target."""
        if self.target is None:
            return None
        value = {"ratio": self.ratio, "figure": self.value, "difference": self.difference}[
            self.target.of
        ]
        return value is not None and self.target.is_met(value)

    def to_dict(self) -> dict[str, object]:
        known = {key: value for key, value in vars(self).items() if key != "target"}
        target = None if self.target is None else str(self.target)
        return {**known, "ratio": self.ratio, "target": target, "met": self.is_met}

    def cells(self) -> tuple[str, ...]:
        return (
            f"{self.part}: {self.measured}",
            _with_unit(self.value, self.unit),
            self.beside,
            "" if self.other is None else _with_unit(self.other, self.unit),
            "" if self.ratio is None else f"{self.ratio:.3f}",
            "" if self.target is None else str(self.target),
            {None: "", True: "yes", False: "NO"}[self.is_met],
            self.note,
        )


def medians(
    part: str,
    of: str,
    values: Sequence[float],
    *,
    beside: str,
    others: Sequence[float],
    target: Target | None = None,
    note: str = "",
) -> Row:
    """The row of medians of milliseconds."""
    value, other = metrics.median(values), metrics.median(others)
    return Row(part, f"median, {of}", value, "ms", beside, other, target, note)


def _with_unit(value: float, unit: str) -> str:
    return f"{metrics.figure(value)} {unit}".rstrip()


def render(rows: Sequence[Row]) -> str:
    cells = [HEADER, *(row.cells() for row in rows)]
    widths = [max(len(line[no]) for line in cells) for no in range(len(HEADER))]
    lines = [
        "  ".join(
            cell.rjust(width) if no in NUMBERS else cell.ljust(width)
            for no, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
