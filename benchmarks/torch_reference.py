"""The baseline `SentenceTransformer.encode`, torch fp32 on the CPU, in a separate process.

`python -m benchmarks.torch_reference` reads {"texts", "directory", "max_tokens", "file"} as JSON
from stdin; the last line of stdout is the rate.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import child_process
from embedding.encoders import encoder
from embedding.model_files import description
from embedding.registry import sources

WARM_TEXTS = 32


def rate(texts: Sequence[str], file: Path | None = None) -> float:
    """Texts per second, measured in a child process with the default batch size of 32.

    The vectors are written to `file` as .npy, (texts, dimensions).
    """
    model = description.describe(sources.BUNDLED_ID, sources.bundled_directory())
    job = {
        "texts": texts,
        "directory": str(model.directory),
        "max_tokens": model.space.max_tokens,
        "file": str(file) if file else "",
    }
    texts_per_second: float = child_process.ask("benchmarks.torch_reference", job)
    return texts_per_second


def vectors(texts: Sequence[str], file: Path) -> encoder.Vectors:
    rate(texts, file)
    vectors: encoder.Vectors = np.load(file)
    return vectors


def measure(texts: list[str], directory: str, max_tokens: int, file: str) -> float:
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415

    model = SentenceTransformer(directory, device="cpu")
    model.max_seq_length = max_tokens
    model.encode(texts[:WARM_TEXTS], show_progress_bar=False)
    started = time.perf_counter()
    vectors = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    seconds = time.perf_counter() - started
    if file:
        np.save(file, vectors)
    return len(texts) / seconds


if __name__ == "__main__":
    print(json.dumps(measure(**json.load(sys.stdin))))
