"""Run as a program: what sentence-transformers makes of TEXTS, in a process that may import torch.

    python -m tests.integration.embedding.reference OUTPUT [NAME DIRECTORY PROMPT]...

`OUTPUT` gets for each model its vectors, torch fp32, and those of our own encoder on torch.
"""

import sys
import warnings
from pathlib import Path

import numpy as np

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


def theirs(directory: str, prompt: str) -> np.ndarray:
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(directory, device="cpu", local_files_only=True)
    return loaded.encode(list(TEXTS), prompt=prompt, batch_size=1, normalize_embeddings=True)


def ours(name: str, directory: str, prompt: str) -> np.ndarray:
    from embedding.encoders import torch_encoder
    from embedding.model_files import description
    from embedding.text import chunking
    from embedding.text import tokenizer as text_tokenizer

    options = description.ModelOptions(document_prompt=prompt)
    described = description.describe(name, Path(directory), options=options)
    tokenizer = text_tokenizer.load(described)
    prepared = chunking.prepare(TEXTS, tokenizer, chunking.Chunking("none"), prompt=prompt)
    rows = [one.chunks[0].ids for one in prepared if isinstance(one, chunking.Prepared)]
    start = 0 if described.space.include_prompt else tokenizer.pooled_from(prompt)
    return torch_encoder.TorchEncoder(described, device="cpu", dtype="f32").bulk(rows, start)


def main() -> None:
    warnings.simplefilter("ignore")
    output, *given = sys.argv[1:]
    vectors = {}
    for name, directory, prompt in zip(given[::3], given[1::3], given[2::3], strict=True):
        vectors[f"{name} reference"] = theirs(directory, prompt)
        vectors[f"{name} torch"] = ours(name, directory, prompt)
    np.savez(output, **vectors)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
