"""How a run shall be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import models
from benchmarks.fire.scene import Rates

BUNDLED, STATIC, PROMPTED = "bundled", "wordllama", "wordllama-prompted"
MODELS = (BUNDLED, STATIC, PROMPTED)
PROMPT = "the text is about: "


@dataclass(frozen=True, kw_only=True)
class Wish:
    """`seconds` under fire at least, of which the backfill is made to take about half.

    `pauses_s`: between a restart and the next kill. `soaking_s`: under fire after the cut-over.
    """

    documents: int = 20_000
    seconds: float = 300.0
    pauses_s: tuple[float, float] = (5.0, 20.0)
    soaking_s: float = 60.0
    idle_s: float = 20.0
    seed: int = 1
    source: str = BUNDLED
    target: str = STATIC
    probes: int = 2000
    rates: Rates = field(default_factory=Rates)
    settings: Mapping[str, str] = field(default_factory=dict)
    corpus: Sequence[str] = ()

    @property
    def max_rate(self) -> float:
        """Chunks a second."""
        return max(1.0, self.documents / (0.5 * self.seconds))

    @property
    def limit_s(self) -> float:
        """Past it the run is given up."""
        return 4 * (self.seconds + self.soaking_s) + 300


def prepare_models(folder: Path, names: Sequence[str]) -> None:
    """Those of `names` that are not bundled, made under `folder`, as MODEL_ROOTS wants them."""
    prompts = {STATIC: "", PROMPTED: PROMPT}
    for name in names:
        if name in prompts and not (folder / name).exists():
            models.wordllama_directory(folder / name, document_prompt=prompts[name])
