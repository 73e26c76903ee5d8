"""Infinity, another server of embeddings, over the same files, from an environment of its own."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks import service
from embedding.registry import sources

VERSION = "0.0.78"
MODEL = "bundled"
ADVICE = f"""make an environment for Infinity, which needs a C++ compiler, and name it:
  python3.11 -m venv ENV
  ENV/bin/pip install torch==2.13.0 "transformers<5" "infinity_emb[torch,server]=={VERSION}"
  python -m benchmarks embeddings --data FOLDER --infinity ENV"""
FLAGS = (
    *("--engine", "torch", "--device", "cpu", "--served-model-name", MODEL),
    *("--url-prefix", "/v1", "--host", service.HOST, "--log-level", "warning"),
    # Where it takes the least of a CPU: 70 ms a text of 83 with its defaults. In bf16, and by
    # characters instead of tokens, it takes no less.
    *("--batch-size", "64", "--compile", "--no-bettertransformer"),
    # Runs repeat their texts: none may be answered from a cache.
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
    """What is installed there, whatever was asked for."""
    asked = "import importlib.metadata as m; print(m.version('infinity_emb'))"
    said = subprocess.check_output([environment / "bin" / "python", "-c", asked], text=True)
    return said.strip()


@contextlib.contextmanager
def running(environment: Path, folder: Path) -> Iterator[int]:
    """The port of a server with the bundled model; its log is kept in `folder`."""
    port, log = service.free_port(), folder / "infinity.log"
    command = [str(program(environment)), "v2", "--model-id", str(sources.bundled()), *FLAGS]
    child = service.start(
        [*command, "--port", str(port)], {**os.environ, **ENVIRONMENT}, folder, log
    )
    try:
        service.await_ready(child, port, log, "/health")
        yield port
    finally:
        service.stop(child)
