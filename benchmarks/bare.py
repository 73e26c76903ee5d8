"""The encoder alone, in a process without the service: `python -m benchmarks.bare < job`.

The job is a JSON object on stdin, see `Job`; the last line of stdout is the answer, see `Rates`.
"""

import asyncio
import concurrent.futures
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import child, metrics
from embedding import loading, model
from embedding.encoders import devices, encoder
from embedding.model_files import description
from embedding.registry import sources
from embedding.text import chunking

BATCH_ROWS = (8, 16, 32)
WARM_TEXTS = 128
# So many texts are tokenized by one thread at a time.
PART = 32


@dataclass(frozen=True)
class Job:
    """`model` is a name that the service with that data directory knows."""

    texts: list[str]
    data_dir: str
    strategy: chunking.Strategy
    batch_rows: tuple[int, ...] = BATCH_ROWS
    model: str = "bundled"


@dataclass(frozen=True)
class Rates:
    """Documents a second by the rows of a batch; of the best, milliseconds of CPU a document.

    `tokenizing` is the part of the best time that it takes.
    """

    by_rows: dict[str, float]
    tokenizing: float
    cpu_ms: float
    backend: str

    @property
    def best(self) -> float:
        return max(self.by_rows.values())


@dataclass
class Runs:
    """The rates of several runs, by the rows of a batch."""

    by_rows: dict[str, list[float]] = field(default_factory=dict)

    def add(self, found: Rates) -> None:
        for rows, rate in found.by_rows.items():
            self.by_rows.setdefault(rows, []).append(rate)

    def best(self) -> tuple[str, list[float]]:
        """The rows of a batch whose median is the best, and its rates."""
        return max(self.by_rows.items(), key=lambda item: metrics.median(item[1]))


@dataclass(frozen=True, eq=False)
class Encoded:
    """The vectors of all chunks in their order; seconds of all, of the tokenizing, of the CPUs."""

    vectors: NDArray[np.float32]
    seconds: float
    tokenizing_s: float
    cpu_s: float


def load(data_dir: Path, name: str = "bundled") -> model.LoadedModel:
    """A model as the service with that data directory loads it, from the service's own cache."""
    source = sources.resolve(name, roots=(), models_dir=data_dir / "models")
    described = description.describe(source.name, source.directory, options=source.options)
    return loading.load(described, cache_dir=data_dir / "cache")


def rates(job: Job) -> Rates:
    """Measured in a child process, so that nothing of it is left in this one."""
    return Rates(**child.ask("benchmarks.bare", asdict(job)))


def vectors(data_dir: Path, texts: Sequence[str]) -> NDArray[np.float32]:
    """The bundled model's vectors of texts that are cut at its limit, (texts, dimensions)."""
    loaded = load(data_dir)
    try:
        return encode(loaded, texts, "none", BATCH_ROWS[0]).vectors
    finally:
        loaded.close()


def encode(
    loaded: model.LoadedModel, texts: Sequence[str], strategy: chunking.Strategy, batch_rows: int
) -> Encoded:
    """By one thread a CPU: all texts tokenized, then all batches through the encoder itself."""
    wish = chunking.Chunking(strategy)
    parts = [texts[start : start + PART] for start in range(0, len(texts), PART)]
    started, used = time.perf_counter(), time.process_time()
    with concurrent.futures.ThreadPoolExecutor(devices.cpu_count()) as threads:
        prepared = list(threads.map(lambda part: loaded.prepare_now(part, wish), parts))
    tokenized = time.perf_counter()
    rows = [
        chunk.ids
        for part in prepared
        for one in part
        if isinstance(one, chunking.Prepared)
        for chunk in one.chunks
    ]
    found = _bulk(loaded, rows, batch_rows)
    return Encoded(
        found,
        time.perf_counter() - started,
        tokenized - started,
        time.process_time() - used,
    )


def query_encoder(
    loaded: model.LoadedModel, runner: asyncio.Runner
) -> Callable[[str], NDArray[np.float32]]:
    """Gives the vector of one query, (dimensions,)."""

    def encode(text: str) -> NDArray[np.float32]:
        found: NDArray[np.float32] = runner.run(loaded.encode_query(text)).vectors[0]
        return found

    return encode


def _bulk(loaded: model.LoadedModel, rows: encoder.Rows, batch_rows: int) -> NDArray[np.float32]:
    # Not by the model's own methods: what they add to the encoder is what is measured beside it.
    encodes = loaded._encoder
    batches = encoder.plan_batches(
        [len(row) for row in rows],
        batch_tokens=batch_rows * (loaded.tokenizer.limit or chunking.DEFAULT_SIZE),
        max_rows=batch_rows,
    )
    found = np.empty((len(rows), loaded.space.dimensions), np.float32)

    def run(batch: list[int]) -> None:
        # The bundled model has no prompt that pooling would leave out.
        found[batch] = encoder.unit(encodes.bulk([rows[no] for no in batch], 0))

    with concurrent.futures.ThreadPoolExecutor(encodes.lanes) as threads:
        list(threads.map(run, batches))
    return found


def measure(job: Job) -> Rates:
    loaded = load(Path(job.data_dir), job.model)
    found: dict[int, Encoded] = {}
    for rows in job.batch_rows:
        # The encoder compiles code for each shape that it meets first.
        encode(loaded, job.texts[:WARM_TEXTS], job.strategy, rows)
        found[rows] = encode(loaded, job.texts, job.strategy, rows)
    loaded.close()
    best = min(found.values(), key=lambda one: one.seconds)
    return Rates(
        by_rows={str(rows): len(job.texts) / one.seconds for rows, one in found.items()},
        tokenizing=best.tokenizing_s / best.seconds,
        cpu_ms=1e3 * best.cpu_s / len(job.texts),
        backend=f"{loaded.build['backend']} {loaded.dtype}",
    )


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Job(**json.load(sys.stdin))))))
