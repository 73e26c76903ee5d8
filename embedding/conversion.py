"""Runs in a process of its own, `python -m embedding.conversion FOLDER`, with a job on stdin.

It makes what a model needs to be served from the cache: the torch fp32 vectors of the canaries, the
converted graph, and which precision keeps to them. It takes 700 MB and many seconds; the process
that serves is spared both.
"""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedding import (
    architectures,
    canaries,
    canary_check,
    child,
    cpu,
    description,
    encoder,
    errors,
    openvino_encoder,
    pipeline,
    rates,
    static_encoder,
    tokenizing,
    torch_encoder,
)

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

VERSION = 2
MANIFEST = "manifest.json"
REFERENCE = "reference.npy"
LIBRARIES = ("torch", "transformers", "sentence-transformers", "tokenizers", "openvino", "numpy")


# Rows by which precisions are compared, and their tokens: enough to tell, and soon done.
_RATED, _RATED_TOKENS = 32, 64


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
    loaded = open_whole(model)
    tokenizer = tokenizing.load(model)
    vectors = reference(loaded, model)
    np.save(folder / REFERENCE, vectors)
    check = canary_check.Check(tokenizer, model, vectors)
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
        if report.level != "quiet" and not (dtype == "f32" and report.level == "warn"):
            reasons.append(f"{backend} {dtype}: {report.describe()}")
        elif slower := _slower(candidate, model, folder, check):
            reasons.append(slower)
        else:
            return Result(backend, dtype, "; ".join(reasons), checks, versions(), _digests(folder))
    raise errors.CanaryMoved(
        f"{model.name}: no encoder gives sentence-transformers' vectors ({'; '.join(reasons)})"
    )


def _slower(
    candidate: encoder.Encoder,
    model: description.ModelDescription,
    folder: Path,
    check: canary_check.Check,
) -> str | None:
    """Why bf16 isn't worth it on this CPU, if it isn't.

    That a CPU has the instructions does not tell: an Intel one did 0.6 times the texts of f32.
    """
    if (candidate.backend, candidate.dtype) != ("openvino", "bf16"):
        return None
    precise = openvino_encoder.OpenVINOEncoder(folder, dtype="f32", limit=model.space.max_tokens)
    longest = max(check.rows, key=len)
    rate = rates.measure({"bf16": candidate, "f32": precise}, [longest[:_RATED_TOKENS]] * _RATED)
    if rate["bf16"] >= rate["f32"]:
        return None
    return f"openvino bf16: {rate['bf16']:.0f} texts/s here, f32 {rate['f32']:.0f}"


def digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def open_whole(model: description.ModelDescription) -> "SentenceTransformer":
    """The pipeline; ModelInvalid where the library can't read it, or fills what is missing."""
    try:
        loaded = pipeline.load(model)
    except Exception as exc:  # whatever a library makes of files that contradict each other
        reason = str(exc).strip().partition("\n")[0]
        raise errors.ModelInvalid(
            model.directory, f"sentence-transformers can't load it: {type(exc).__name__}: {reason}"
        ) from exc
    if not pipeline.is_static(model):
        folder = model.directory / model.modules[0].folder
        missing = [name for name in pipeline.missing(loaded, folder) if not _is_unused(model, name)]
        if missing:
            raise errors.ModelInvalid(
                folder,
                f"the weights lack {len(missing)} tensors, the first is {min(missing)};"
                " copy or download the model again",
            )
    return loaded


def _is_unused(model: description.ModelDescription, name: str) -> bool:
    kind = model.modules[0].parameters["model_type"]
    return kind in architectures.UNUSED_POOLER and bool(architectures.POOLER.match(name))


def reference(
    loaded: "SentenceTransformer", model: description.ModelDescription
) -> encoder.Vectors:
    """The canaries' torch fp32 vectors, (canaries, dimensions): each alone, as a document."""
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


def versions(libraries: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """The installed libraries that vectors can depend on."""
    return {library: metadata.version(library) for library in libraries}


def _digests(folder: Path) -> dict[str, str]:
    return {file.name: digest(file) for file in sorted(folder.iterdir())}


def main() -> int:
    def work(given: dict[str, Any], folder: Path) -> None:
        result = convert(Job(**given), folder)
        (folder / MANIFEST).write_text(json.dumps(dataclasses.asdict(result), indent=2))

    return child.serve(work)


if __name__ == "__main__":
    sys.exit(main())
