"""Converts a model in a child process, `python -m embedding.conversion.convert FOLDER`.

It reads a job on stdin and writes what serving from the cache needs: the canaries' torch fp32
vectors, the converted graph, and the precision that keeps to these vectors. That takes 700 MB and
many seconds, which the serving process is spared.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from embedding import errors
from embedding.canaries import check as canary_check
from embedding.conversion import child_process
from embedding.encoders import encoder as encoding
from embedding.encoders import factory, openvino_encoder, pipeline
from embedding.model_files import architecture, description
from embedding.text import tokenizer as text_tokenizer

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

VERSION = 2
MANIFEST = "manifest.json"
REFERENCE = "reference.npy"
LIBRARIES = ("torch", "transformers", "sentence-transformers", "tokenizers", "openvino", "numpy")


# Rows to time precisions with, and tokens of each: enough for a comparison, and fast.
_TIMED_ROWS, _TIMED_TOKENS = 32, 64
ROUNDS = 3
Key = TypeVar("Key")


@dataclasses.dataclass(frozen=True)
class ConversionJob:
    """What to convert, in JSON's values: the child process reads the model's files itself."""

    name: str
    directory: str
    revision: str | None
    fingerprint: str
    device: str
    options: dict[str, str | int | None]

    @classmethod
    def for_model(cls, model: description.ModelDescription, device: str) -> "ConversionJob":
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
class Conversion:
    """The encoder to serve with, and its canaries' results; kept as manifest.json."""

    backend: str
    dtype: str
    reason: str
    checks: dict[str, str]
    versions: dict[str, str]
    files: dict[str, str] = dataclasses.field(default_factory=dict)


def convert(job: ConversionJob, folder: Path) -> Conversion:
    """Fill an empty folder; CanaryMoved if no encoder makes the vectors of the reference."""
    model = job.describe()
    loaded = load_pipeline(model)
    tokenizer = text_tokenizer.load(model)
    vectors = encode_reference(loaded, model)
    np.save(folder / REFERENCE, vectors)
    check = canary_check.Check(tokenizer, model, vectors)
    checks: dict[str, str] = {}
    reasons: list[str] = []
    for backend, dtype in factory.candidates(model, job.device):
        try:
            if backend == "openvino" and not (folder / openvino_encoder.MODEL).exists():
                pipeline.save_graph(loaded, model.space.dimensions, folder / openvino_encoder.MODEL)
            candidate = factory.open_encoder(
                model, backend, dtype, device=job.device, folder=folder
            )
        except Exception as exc:  # converters raise anything; the next candidate is tried
            reasons.append(f"{backend} {dtype}: {type(exc).__name__}: {exc}")
            continue
        report = check.run(candidate)
        checks[f"{backend} {dtype}"] = f"{report.level}: {report.describe()}"
        # A faster precision must be beyond doubt; only f32, the last resort, may warn.
        if report.level != "quiet" and not (dtype == "f32" and report.level == "warn"):
            reasons.append(f"{backend} {dtype}: {report.describe()}")
        elif reason := _too_slow(candidate, model, folder, check):
            reasons.append(reason)
        else:
            return Conversion(
                backend, dtype, "; ".join(reasons), checks, library_versions(), _digests(folder)
            )
    raise errors.CanaryMoved(
        f"{model.name}: no encoder makes sentence-transformers' vectors ({'; '.join(reasons)})"
    )


def _too_slow(
    candidate: encoding.Encoder,
    model: description.ModelDescription,
    folder: Path,
    check: canary_check.Check,
) -> str | None:
    """Why bf16 is not worth it on this CPU; None if it is.

    Having the instructions is not enough: on one Intel CPU bf16 had 0.6 times the rate of f32.
    """
    if (candidate.backend, candidate.dtype) != ("openvino", "bf16"):
        return None
    precise = openvino_encoder.OpenVINOEncoder(folder, dtype="f32", limit=model.space.max_tokens)
    longest = max(check.rows, key=len)
    rates = measure_rates(
        {"bf16": candidate, "f32": precise}, [longest[:_TIMED_TOKENS]] * _TIMED_ROWS
    )
    if rates["bf16"] >= rates["f32"]:
        return None
    return f"openvino bf16: {rates['bf16']:.0f} texts/s here, f32 {rates['f32']:.0f}"


def file_digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def load_pipeline(model: description.ModelDescription) -> "SentenceTransformer":
    """The complete pipeline; ModelInvalid if the library can't read it or weights are missing."""
    try:
        loaded = pipeline.load(model)
    except Exception as exc:  # the library raises anything if files contradict each other
        reason = str(exc).strip().partition("\n")[0]
        raise errors.ModelInvalid(
            model.directory, f"sentence-transformers can't load it: {type(exc).__name__}: {reason}"
        ) from exc
    if not pipeline.is_static(model):
        folder = model.directory / model.modules[0].folder
        missing = [
            name
            for name in pipeline.missing_parameters(loaded, folder)
            if not _is_unused(model, name)
        ]
        if missing:
            raise errors.ModelInvalid(
                folder,
                f"the weights lack {len(missing)} tensors, such as {min(missing)};"
                " copy or download the model again",
            )
    return loaded


def _is_unused(model: description.ModelDescription, name: str) -> bool:
    model_type = model.modules[0].parameters["model_type"]
    return model_type in architecture.UNUSED_POOLER and bool(architecture.POOLER.match(name))


def encode_reference(
    loaded: "SentenceTransformer", model: description.ModelDescription
) -> encoding.Vectors:
    """The canaries' torch fp32 vectors, (canaries, dimensions), each alone, as a document."""
    vectors = loaded.encode(
        [canary.text for canary in canary_check.TEXTS],
        prompt=model.document_prompt.text or "",
        batch_size=1,
        normalize_embeddings=True,
        show_progress_bar=False,
    )
    return np.asarray(vectors, dtype=np.float32)


def library_versions(libraries: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """The versions of the installed libraries that vectors can depend on."""
    return {library: metadata.version(library) for library in libraries}


def _digests(folder: Path) -> dict[str, str]:
    return {file.name: file_digest(file) for file in sorted(folder.iterdir())}


def measure_rates(
    encoders: Mapping[Key, encoding.Encoder], rows: encoding.Rows, *, pooled_from: int = 0
) -> dict[Key, float]:
    """Rows per second of each encoder, the best of several rounds.

    They take turns, so that whatever else runs slows down all of them.
    """
    best = dict.fromkeys(encoders, float("inf"))
    for _ in range(ROUNDS):
        for key, encoder in encoders.items():
            started = time.perf_counter()
            _encode_all(encoder, rows, pooled_from)
            best[key] = min(best[key], time.perf_counter() - started)
    return {key: len(rows) / seconds for key, seconds in best.items()}


def _encode_all(encoder: encoding.Encoder, rows: encoding.Rows, pooled_from: int) -> None:
    batches = encoding.plan_batches(
        [len(row) for row in rows],
        batch_tokens=encoder.batch_tokens,
        max_rows=encoder.batch_rows,
    )
    with concurrent.futures.ThreadPoolExecutor(encoder.parallel_batches) as threads:
        for _ in threads.map(
            lambda batch: encoder.bulk([rows[no] for no in batch], pooled_from), batches
        ):
            pass


def main() -> int:
    def work(job: dict[str, Any], folder: Path) -> None:
        conversion = convert(ConversionJob(**job), folder)
        (folder / MANIFEST).write_text(json.dumps(dataclasses.asdict(conversion), indent=2))

    return child_process.serve(work)


if __name__ == "__main__":
    sys.exit(main())
