"""The baseline of most parts: the encoder alone, in a process without the service.

`python -m benchmarks.bare_encoder` reads a `Job` as JSON from stdin; the last line of stdout is
the answer, see `Rates`.
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

from benchmarks import child_process, metrics
from embedding import loading, model
from embedding.encoders import encoder
from embedding.model_files import description
from embedding.registry import sources
from embedding.text import chunking
from host import cpu

BATCH_ROWS = (8, 16, 32)
WARM_TEXTS = 128
# Texts that one thread tokenizes at a time.
PART = 32


@dataclass(frozen=True)
class Job:
    """What to encode and how; `model` is a name known to the service with that data directory."""

    texts: list[str]
    data_dir: str
    strategy: chunking.Strategy
    batch_rows: tuple[int, ...] = BATCH_ROWS
    model: str = "bundled"


@dataclass(frozen=True)
class Rates:
    """Documents per second by batch size.

    For the best batch size: `tokenizing` is its share of the time, `cpu_ms` the CPU milliseconds
    per document.
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
    """The rates of several runs, by batch size."""

    by_rows: dict[str, list[float]] = field(default_factory=dict)

    def add(self, rates: Rates) -> None:
        for rows, rate in rates.by_rows.items():
            self.by_rows.setdefault(rows, []).append(rate)

    def best(self) -> tuple[str, list[float]]:
        """The batch size with the best median, and its rates."""
        return max(self.by_rows.items(), key=lambda item: metrics.median(item[1]))


@dataclass(frozen=True, eq=False)
class Encoded:
    """The vectors of all chunks in order, with the seconds taken: total, tokenizing, CPU."""

    vectors: NDArray[np.float32]
    seconds: float
    tokenizing_s: float
    cpu_s: float


def load(data_dir: Path, name: str = "bundled") -> model.LoadedModel:
    """Load a model the way the service with that data directory does, from its cache."""
    source = sources.resolve(name, roots=(), models_dir=data_dir / "models")
    described = description.describe(source.name, source.directory, options=source.options)
    return loading.load(described, cache_dir=data_dir / "cache")


def rates(job: Job) -> Rates:
    """Measure in a child process, so that no threads or memory stay in this one."""
    return Rates(**child_process.ask("benchmarks.bare_encoder", asdict(job)))


def vectors(data_dir: Path, texts: Sequence[str]) -> NDArray[np.float32]:
    """The bundled model's vectors of texts cut at its limit, (texts, dimensions)."""
    loaded = load(data_dir)
    try:
        return encode(loaded, texts, "none", BATCH_ROWS[0]).vectors
    finally:
        loaded.close()


def encode(
    loaded: model.LoadedModel, texts: Sequence[str], strategy: chunking.Strategy, batch_rows: int
) -> Encoded:
    """Tokenize all texts with one thread per CPU, then run all batches through the encoder."""
    options = chunking.Chunking(strategy)
    parts = [texts[start : start + PART] for start in range(0, len(texts), PART)]
    started, used = time.perf_counter(), time.process_time()
    with concurrent.futures.ThreadPoolExecutor(cpu.count()) as threads:
        prepared = list(threads.map(lambda part: loaded.prepare_blocking(part, options), parts))
    tokenized = time.perf_counter()
    rows = [
        chunk.ids
        for part in prepared
        for result in part
        if isinstance(result, chunking.Prepared)
        for chunk in result.chunks
    ]
    vectors = _bulk(loaded, rows, batch_rows)
    return Encoded(
        vectors,
        time.perf_counter() - started,
        tokenized - started,
        time.process_time() - used,
    )


def query_encoder(
    loaded: model.LoadedModel, runner: asyncio.Runner
) -> Callable[[str], NDArray[np.float32]]:
    """A function that returns the vector of one query, (dimensions,)."""

    def encode(text: str) -> NDArray[np.float32]:
        vector: NDArray[np.float32] = runner.run(loaded.encode_query(text)).vectors[0]
        return vector

    return encode


def _bulk(loaded: model.LoadedModel, rows: encoder.Rows, batch_rows: int) -> NDArray[np.float32]:
    # Not by the model's own methods: their overhead is part of what the baseline is for.
    encoder_ = loaded._encoder
    batches = encoder.plan_batches(
        [len(row) for row in rows],
        batch_tokens=batch_rows * (loaded.tokenizer.limit or chunking.DEFAULT_SIZE),
        max_rows=batch_rows,
    )
    vectors = np.empty((len(rows), loaded.space.dimensions), np.float32)

    def run(batch: list[int]) -> None:
        # The bundled model has no prompt for pooling to leave out.
        vectors[batch] = encoder.normalize(encoder_.bulk([rows[no] for no in batch], 0))

    with concurrent.futures.ThreadPoolExecutor(encoder_.parallel_batches) as threads:
        list(threads.map(run, batches))
    return vectors


def measure(job: Job) -> Rates:
    loaded = load(Path(job.data_dir), job.model)
    runs: dict[int, Encoded] = {}
    for rows in job.batch_rows:
        # Warm up: the encoder compiles code for each new batch shape.
        encode(loaded, job.texts[:WARM_TEXTS], job.strategy, rows)
        runs[rows] = encode(loaded, job.texts, job.strategy, rows)
    loaded.close()
    best = min(runs.values(), key=lambda run: run.seconds)
    return Rates(
        by_rows={str(rows): len(job.texts) / run.seconds for rows, run in runs.items()},
        tokenizing=best.tokenizing_s / best.seconds,
        cpu_ms=1e3 * best.cpu_s / len(job.texts),
        backend=f"{loaded.build['backend']} {loaded.dtype}",
    )


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Job(**json.load(sys.stdin))))))
