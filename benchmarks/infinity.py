"""Runs Infinity, another embedding server, on the same model files in its own environment."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks import service
from embedding.registry import sources

VERSION = "0.0.78"
MODEL = "bundled"
ADVICE = f"""create a virtual environment for Infinity (needs a C++ compiler) and pass it:
  python3.11 -m venv ENV
  ENV/bin/pip install torch==2.13.0 "transformers<5" "infinity_emb[torch,server]=={VERSION}"
  python -m benchmarks embeddings --data FOLDER --infinity ENV"""
FLAGS = (
    *("--engine", "torch", "--device", "cpu", "--served-model-name", MODEL),
    *("--url-prefix", "/v1", "--host", service.HOST, "--log-level", "warning"),
    # Its fastest options on a CPU: 70 ms of CPU per text, 83 with the defaults. Neither bf16 nor
    # batching by characters instead of tokens is faster.
    *("--batch-size", "64", "--compile", "--no-bettertransformer"),
    # Runs repeat their texts, so its cache must be off.
    *("--no-vector-disk-cache", "--no-trust-remote-code", "--no-model-warmup"),
)
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "INFINITY_ANONYMOUS_USAGE_STATS": "0",
}


def program(environment: Path) -> Path:
    return environment / "bin" / "infinity_emb"


def version(environment: Path) -> str:
    """The version that is actually installed."""
    program_ = "import importlib.metadata as m; print(m.version('infinity_emb'))"
    output = subprocess.check_output([environment / "bin" / "python", "-c", program_], text=True)
    return output.strip()


@contextlib.contextmanager
def running(environment: Path, folder: Path) -> Iterator[int]:
    """Run a server with the bundled model and yield its port; its log goes to `folder`."""
    port, log = service.free_port(), folder / "infinity.log"
    command = [
        str(program(environment)),
        "v2",
        "--model-id",
        str(sources.bundled_directory()),
        *FLAGS,
    ]
    child = service.start(
        [*command, "--port", str(port)], {**os.environ, **ENVIRONMENT}, folder, log
    )
    try:
        service.await_ready(child, port, log, "/health")
        yield port
    finally:
        service.stop(child)
