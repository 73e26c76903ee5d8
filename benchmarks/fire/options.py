"""The options of a run under fire, and its models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import models
from benchmarks.fire.context import Rates

BUNDLED, STATIC, PROMPTED = "bundled", "wordllama", "wordllama-prompted"
MODELS = (BUNDLED, STATIC, PROMPTED)
PROMPT = "the text is about: "


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of a run.

    `seconds`: minimum duration under fire; the backfill is throttled to take about half of it.
    `pauses_s`: range of the pause between a restart and the next kill. `soaking_s`: time under fire
    after the cutover.
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
        """Chunks per second."""
        return max(1.0, self.documents / (0.5 * self.seconds))

    @property
    def limit_s(self) -> float:
        """The run is abandoned after this many seconds."""
        return 4 * (self.seconds + self.soaking_s) + 300


def prepare_models(folder: Path, names: Sequence[str]) -> None:
    """Create those of `names` that aren't bundled under `folder`, for MODEL_ROOTS."""
    prompts = {STATIC: "", PROMPTED: PROMPT}
    for name in names:
        if name in prompts and not (folder / name).exists():
            models.wordllama_directory(folder / name, document_prompt=prompts[name])
