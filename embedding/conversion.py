"""Runs in a process of its own, `python -m embedding.conversion FOLDER`, with a job on stdin.

It makes what a model needs to be served from the cache: the torch fp32 vectors of the canaries, the
converted graph, and which precision keeps to them. It takes 700 MB and many seconds; the process
that serves is spared both.
"""

import dataclasses
import hashlib
import json
import sys
import warnings
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedding import (
    canaries,
    canary_check,
    cpu,
    description,
    encoder,
    errors,
    openvino_encoder,
    pipeline,
    static_encoder,
    tokenizing,
    torch_encoder,
)

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

VERSION = 1
MANIFEST = "manifest.json"
REFERENCE = "reference.npy"
LIBRARIES = ("torch", "transformers", "sentence-transformers", "tokenizers", "openvino", "numpy")


@dataclasses.dataclass(frozen=True)
class Job:
    """What to convert, in plain values: the child reads the model's files again by itself."""

    name: str
    directory: str
    revision: str | None
    fingerprint: str
    device: str
    options: dict[str, str | int | None]

    @classmethod
    def of(cls, model: description.ModelDescription, device: str) -> "Job":
        options = description.options_of(model.space, query_prompt=model.query_prompt.text)
        return cls(
            name=model.name,
            directory=str(model.directory.absolute()),
            revision=model.revision,
            fingerprint=model.space.fingerprint,
            device=device,
            options=dataclasses.asdict(options),
        )

    def describe(self) -> description.ModelDescription:
        options = description.ModelOptions(**self.options)  # type: ignore[arg-type]
        model = description.describe(
            self.name, Path(self.directory), revision=self.revision, options=options
        )
        if model.space.fingerprint != self.fingerprint:
            raise errors.ModelInvalid(
                Path(self.directory),
                "the model's files changed while it was being loaded; try again",
            )
        return model


@dataclasses.dataclass(frozen=True)
class Result:
    """The encoder to serve with, and what its canaries said; kept as manifest.json."""

    backend: str
    dtype: str
    reason: str
    checks: dict[str, str]
    versions: dict[str, str]
    files: dict[str, str] = dataclasses.field(default_factory=dict)


def convert(job: Job, folder: Path) -> Result:
    """Fill an empty folder; CanaryMoved where no encoder gives the vectors of the reference."""
    model = job.describe()
    loaded = pipeline.load(model)
    tokenizer = tokenizing.load(model)
    reference = _reference(loaded, model)
    np.save(folder / REFERENCE, reference)
    check = canary_check.Check(tokenizer, model, reference)
    checks: dict[str, str] = {}
    reasons: list[str] = []
    for backend, dtype in _candidates(model, job.device):
        try:
            candidate = _candidate(
                backend, dtype, folder, source=(model, loaded), device=job.device
            )
        except Exception as exc:  # whatever a converter raises: the next one is tried
            reasons.append(f"{backend} {dtype}: {type(exc).__name__}: {exc}")
            continue
        report = check.run(candidate)
        checks[f"{backend} {dtype}"] = f"{report.level}: {report.describe()}"
        # Of several precisions the faster one has to be beyond doubt.
        if report.level == "quiet" or (dtype == "f32" and report.level == "warn"):
            return Result(backend, dtype, "; ".join(reasons), checks, versions(), _digests(folder))
        reasons.append(f"{backend} {dtype}: {report.describe()}")
    raise errors.CanaryMoved(
        f"{model.name}: no encoder gives sentence-transformers' vectors ({'; '.join(reasons)})"
    )


def digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _reference(
    loaded: "SentenceTransformer", model: description.ModelDescription
) -> encoder.Vectors:
    vectors = loaded.encode(
        [canary.text for canary in canaries.TEXTS],
        prompt=model.document_prompt.text or "",
        batch_size=1,
        normalize_embeddings=True,
        show_progress_bar=False,
    )
    return np.asarray(vectors, dtype=np.float32)


def _candidates(model: description.ModelDescription, device: str) -> list[tuple[str, str]]:
    """Encoders to try, the best first."""
    if device != "cpu":
        return [("torch", "f16"), ("torch", "bf16"), ("torch", "f32")]
    if static_encoder.can_read(model):
        return [("static", "f32")]
    if pipeline.is_static(model):
        return [("torch", "f32")]
    precise = [("openvino", "f32"), ("torch", "f32")]
    return [("openvino", "bf16"), *precise] if cpu.has_bf16() else precise


def _candidate(
    backend: str,
    dtype: str,
    folder: Path,
    *,
    source: tuple[description.ModelDescription, "SentenceTransformer"],
    device: str,
) -> encoder.Encoder:
    model, loaded = source
    if backend == "static":
        return static_encoder.load(model)
    if backend == "torch":
        return torch_encoder.TorchEncoder(model, device=device, dtype=dtype)
    if not (folder / openvino_encoder.MODEL).exists():
        pipeline.save_graph(loaded, model.space.dimensions, folder / openvino_encoder.MODEL)
    return openvino_encoder.OpenVINOEncoder(folder, dtype=dtype, limit=model.space.max_tokens)


def versions() -> dict[str, str]:
    """The installed libraries that vectors can depend on."""
    return {library: metadata.version(library) for library in LIBRARIES}


def _digests(folder: Path) -> dict[str, str]:
    return {file.name: digest(file) for file in sorted(folder.iterdir())}


def main() -> int:
    """Exit status 0, or 1 with the reason as the last line of stderr."""
    from huggingface_hub import constants  # noqa: PLC0415

    constants.HF_HUB_OFFLINE = True
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1])
    job = Job(**json.load(sys.stdin))
    try:
        result = convert(job, folder)
    except errors.EmbeddingError as exc:
        print(f"{type(exc).__name__}: {exc}".replace("\n", " "), file=sys.stderr)
        return 1
    (folder / MANIFEST).write_text(json.dumps(dataclasses.asdict(result), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
