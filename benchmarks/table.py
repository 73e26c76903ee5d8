"""The printed table: each figure next to what it is compared with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks import metrics

HEADER = ("measurement", "value", "compared with", "value", "ratio", "target", "met", "note")
NUMBERS = {1, 3, 4}


@dataclass(frozen=True)
class Target:
    """The bound for a figure, or for its ratio or difference to the one it is compared with."""

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
    """A figure with its unit and, in the same unit, the figure it is compared with, if any."""

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
        """None if there is no target."""
        if self.target is None:
            return None
        value = {"ratio": self.ratio, "figure": self.value, "difference": self.difference}[
            self.target.of
        ]
        return value is not None and self.target.is_met(value)

    def to_dict(self) -> dict[str, object]:
        fields = {key: value for key, value in vars(self).items() if key != "target"}
        target = None if self.target is None else str(self.target)
        return {**fields, "ratio": self.ratio, "target": target, "met": self.is_met}

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
    label: str,
    values: Sequence[float],
    *,
    beside: str,
    other_values: Sequence[float],
    target: Target | None = None,
    note: str = "",
) -> Row:
    """A row that compares the medians of two lists of milliseconds."""
    value, other = metrics.median(values), metrics.median(other_values)
    return Row(part, f"median, {label}", value, "ms", beside, other, target, note)


def _with_unit(value: float, unit: str) -> str:
    return f"{metrics.format_number(value)} {unit}".rstrip()


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
