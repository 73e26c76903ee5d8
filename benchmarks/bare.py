"""The encoder alone, in a process without the service: `python -m benchmarks.bare < job`.

The job is a JSON object on stdin, see `Job`; the last line of stdout is the answer, see `Rates`.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import child
from embedding import chunking, cpu, description, model, sources

BATCH_ROWS = (8, 16, 32)
WARM_TEXTS = 128


@dataclass(frozen=True)
class Job:
    texts: list[str]
    cache_dir: str
    strategy: chunking.Strategy
    batch_rows: tuple[int, ...] = BATCH_ROWS


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


def load(cache_dir: Path) -> model.LoadedModel:
    """The bundled model as the service loads it, from the service's own cache."""
    source = sources.Source(sources.BUNDLED_ID, sources.bundled())
    described = description.describe(source.name, source.directory)
    return model.load(described, cache_dir=cache_dir)


def rates(job: Job) -> Rates:
    """Measured in a child process, so that nothing of it is left in this one."""
    return Rates(**child.ask("benchmarks.bare", asdict(job)))


async def encode(
    loaded: model.LoadedModel, texts: list[str], strategy: chunking.Strategy
) -> tuple[float, float, float]:
    """Seconds for all of it, for the tokenizing (by one thread a CPU), and of the CPUs."""
    wish = chunking.Chunking(strategy)
    started, used = time.perf_counter(), time.process_time()
    lanes = cpu.count()
    parts = [texts[no::lanes] for no in range(lanes)]
    prepared = await asyncio.gather(
        *(asyncio.to_thread(loaded.prepare_now, part, wish) for part in parts if part)
    )
    tokenized = time.perf_counter()
    chunks = [
        chunk
        for part in prepared
        for one in part
        if isinstance(one, chunking.Prepared)
        for chunk in one.chunks
    ]
    await loaded.encode_chunks(chunks)
    whole = time.perf_counter() - started
    return whole, tokenized - started, time.process_time() - used


async def measure(job: Job) -> Rates:
    loaded = load(Path(job.cache_dir))
    found: dict[int, tuple[float, float, float]] = {}
    for rows in job.batch_rows:
        # The public surface has no such knob: the service lives with one size of a batch.
        loaded._encoder.batch_rows = rows
        loaded._encoder.batch_tokens = rows * (loaded.tokenizer.limit or chunking.DEFAULT_SIZE)
        # The encoder compiles code for each shape that it meets first.
        await encode(loaded, job.texts[:WARM_TEXTS], job.strategy)
        found[rows] = await encode(loaded, job.texts, job.strategy)
    loaded.close()
    whole, tokenizing, used = min(found.values())
    return Rates(
        by_rows={str(rows): len(job.texts) / seconds for rows, (seconds, *_) in found.items()},
        tokenizing=tokenizing / whole,
        cpu_ms=1e3 * used / len(job.texts),
        backend=f"{loaded.build['backend']} {loaded.dtype}",
    )


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(measure(Job(**json.load(sys.stdin)))))))
