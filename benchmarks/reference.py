"""`SentenceTransformer.encode`, torch fp32 on the CPU: `python -m benchmarks.reference < job`.

The job is {"texts", "directory", "max_tokens"} on stdin; the last line of stdout is the answer.
"""

import json
import sys
import time

from benchmarks import child
from embedding import description, sources

WARM_TEXTS = 32


def rate(texts: list[str]) -> float:
    """Documents a second, measured in a child process, with its own default of 32 a batch."""
    described = description.describe(sources.BUNDLED_ID, sources.bundled())
    job = {
        "texts": texts,
        "directory": str(described.directory),
        "max_tokens": described.space.max_tokens,
    }
    found: float = child.ask("benchmarks.reference", job)
    return found


def measure(texts: list[str], directory: str, max_tokens: int) -> float:
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415

    loaded = SentenceTransformer(directory, device="cpu")
    loaded.max_seq_length = max_tokens
    loaded.encode(texts[:WARM_TEXTS], show_progress_bar=False)
    started = time.perf_counter()
    loaded.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    return len(texts) / (time.perf_counter() - started)


if __name__ == "__main__":
    print(json.dumps(measure(**json.load(sys.stdin))))
