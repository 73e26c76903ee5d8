"""What sentence-transformers, and our own encoder on torch, make of TEXTS, in fp32.

Both need torch, so this module is also the program that computes them, in a separate process:

    python -m tests.integration.embedding.reference OUTPUT [KIND NAME DIRECTORY PROMPT]...
"""

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from embedding.conversion import convert
from embedding.model_files import description

TEXTS = (
    "A short text.",
    "The harbour lay quiet in the early light, and the gulls followed the boats.",
    "MIXED case, Äccénts and 東京 with 😀",
    "   white space around   ",
    "x",
    " ".join(f"word number {no} of a rather long text;" for no in range(20)),
    " ".join(f"word number {no} of a text over the limit;" for no in range(60)),
    "def f(x):\n    return x ** 2\n",
    "The same sentence. " * 12,
    "1, 2, 3 and 4.5e6",
)

Vectors = dict[str, np.ndarray]


class Case(NamedTuple):
    """A model whose documents get this prompt."""

    name: str
    directory: Path
    prompt: str = ""


def of_library(cases: Sequence[Case], cache: Path) -> Vectors:
    """By name; computed once for each model and prompt, and kept in `cache`."""
    files = {case: cache / f"reference-{_digest(case)}.npz" for case in cases}
    with _lock(cache / "reference.lock"):
        missing = [case for case, file in files.items() if _read(file) is None]
        for name, vectors in (_compute("theirs", missing) if missing else {}).items():
            [file] = {files[case] for case in missing if case.name == name}
            # Renamed when it is whole: readers check no more than that it is there and intact.
            np.savez(unfinished := file.with_suffix(".new.npz"), vectors)
            os.replace(unfinished, file)
    found = {case.name: _read(file) for case, file in files.items()}
    return {name: vectors for name, vectors in found.items() if vectors is not None}


def of_our_encoder(cases: Sequence[Case]) -> Vectors:
    """By name; never kept, because it is our own code that is tested."""
    return _compute("ours", cases)


def _digest(case: Case) -> str:
    options = description.ModelOptions(document_prompt=case.prompt)
    space = description.describe(case.name, case.directory, options=options).space
    content = (space.fingerprint, TEXTS, sorted(convert.library_versions().items()))
    return hashlib.sha256(repr(content).encode()).hexdigest()[:32]


def _read(file: Path) -> np.ndarray | None:
    """None if the file is missing or damaged: its checksums are verified."""
    try:
        with np.load(file) as content:
            return content["arr_0"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


@contextlib.contextmanager
def _lock(file: Path) -> Iterator[None]:
    with file.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _compute(kind: Literal["ours", "theirs"], cases: Sequence[Case]) -> Vectors:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "vectors.npz"
        arguments = [str(value) for case in cases for value in (kind, *case)]
        command = [sys.executable, "-m", __name__, str(output), *arguments]
        subprocess.run(command, check=True, capture_output=True)
        with np.load(output) as vectors:
            return dict(vectors)


def theirs(_: str, directory: str, prompt: str) -> np.ndarray:
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(directory, device="cpu", local_files_only=True)
    return loaded.encode(list(TEXTS), prompt=prompt, batch_size=1, normalize_embeddings=True)


def ours(name: str, directory: str, prompt: str) -> np.ndarray:
    from embedding.encoders import torch_encoder
    from embedding.text import chunking
    from embedding.text import tokenizer as text_tokenizer

    options = description.ModelOptions(document_prompt=prompt)
    described = description.describe(name, Path(directory), options=options)
    tokenizer = text_tokenizer.load(described)
    prepared = chunking.prepare(TEXTS, tokenizer, chunking.Chunking("none"), prompt=prompt)
    rows = [text.chunks[0].ids for text in prepared if isinstance(text, chunking.Prepared)]
    start = 0 if described.space.include_prompt else tokenizer.pooled_from(prompt)
    return torch_encoder.TorchEncoder(described, device="cpu", dtype="f32").bulk(rows, start)


def main() -> None:
    warnings.simplefilter("ignore")
    output, *arguments = sys.argv[1:]
    work = {"ours": ours, "theirs": theirs}
    vectors = {
        name: work[kind](name, directory, prompt)
        for kind, name, directory, prompt in zip(*[iter(arguments)] * 4, strict=True)
    }
    np.savez(output, **vectors)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
