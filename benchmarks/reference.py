"""`SentenceTransformer.encode`, torch fp32 on the CPU: `python -m benchmarks.reference < job`.

The job is {"texts", "directory", "max_tokens", "file"} on stdin; the last line of stdout is the
answer.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import child
from embedding.encoders import encoder
from embedding.model_files import description
from embedding.registry import sources

WARM_TEXTS = 32


def rate(texts: Sequence[str], file: Path | None = None) -> float:
    """Documents a second, measured in a child process, with its own default of 32 a batch.

    The vectors are written to `file` as .npy, (texts, dimensions).
    """
    described = description.describe(sources.BUNDLED_ID, sources.bundled())
    job = {
        "texts": texts,
        "directory": str(described.directory),
        "max_tokens": described.space.max_tokens,
        "file": str(file) if file else "",
    }
    found: float = child.ask("benchmarks.reference", job)
    return found


def vectors(texts: Sequence[str], file: Path) -> encoder.Vectors:
    rate(texts, file)
    found: encoder.Vectors = np.load(file)
    return found


def measure(texts: list[str], directory: str, max_tokens: int, file: str) -> float:
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415

    loaded = SentenceTransformer(directory, device="cpu")
    loaded.max_seq_length = max_tokens
    loaded.encode(texts[:WARM_TEXTS], show_progress_bar=False)
    started = time.perf_counter()
    found = loaded.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    seconds = time.perf_counter() - started
    if file:
        np.save(file, found)
    return len(texts) / seconds


if __name__ == "__main__":
    print(json.dumps(measure(**json.load(sys.stdin))))
