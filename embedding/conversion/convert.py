"""Converts a model in its own process: `python -m embedding.conversion.convert FOLDER` reads a job.

It makes what a model needs to be served from the cache: the torch fp32 vectors of the canaries, the
converted graph, and which precision keeps to them. It takes 700 MB and many seconds; the process
that serves is spared both.
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
from embedding.encoders import encoder, factory, openvino_encoder, pipeline
from embedding.model_files import architecture, description
from embedding.text import tokenizer as text_tokenizer

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

VERSION = 2
MANIFEST = "manifest.json"
REFERENCE = "reference.npy"
LIBRARIES = ("torch", "transformers", "sentence-transformers", "tokenizers", "openvino", "numpy")


# Rows by which precisions are compared, and their tokens: enough to tell, and soon done.
_RATED, _RATED_TOKENS = 32, 64
ROUNDS = 3
Key = TypeVar("Key")


@dataclasses.dataclass(frozen=True)
class ConversionJob:
    """What to convert, in plain values: the child reads the model's files again by itself."""

    name: str
    directory: str
    revision: str | None
    fingerprint: str
    device: str
    options: dict[str, str | int | None]

    @classmethod
    def of(cls, model: description.ModelDescription, device: str) -> "ConversionJob":
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
    """The encoder to serve with, and what its canaries said; kept as manifest.json."""

    backend: str
    dtype: str
    reason: str
    checks: dict[str, str]
    versions: dict[str, str]
    files: dict[str, str] = dataclasses.field(default_factory=dict)


def convert(job: ConversionJob, folder: Path) -> Conversion:
    """Fill an empty folder; CanaryMoved where no encoder gives the vectors of the reference."""
    model = job.describe()
    loaded = open_whole(model)
    tokenizer = text_tokenizer.load(model)
    vectors = reference(loaded, model)
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
            return Conversion(
                backend, dtype, "; ".join(reasons), checks, versions(), _digests(folder)
            )
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
    rate = measure_rates({"bf16": candidate, "f32": precise}, [longest[:_RATED_TOKENS]] * _RATED)
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
    return kind in architecture.UNUSED_POOLER and bool(architecture.POOLER.match(name))


def reference(
    loaded: "SentenceTransformer", model: description.ModelDescription
) -> encoder.Vectors:
    """The canaries' torch fp32 vectors, (canaries, dimensions): each alone, as a document."""
    vectors = loaded.encode(
        [canary.text for canary in canary_check.TEXTS],
        prompt=model.document_prompt.text or "",
        batch_size=1,
        normalize_embeddings=True,
        show_progress_bar=False,
    )
    return np.asarray(vectors, dtype=np.float32)


def versions(libraries: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """The installed libraries that vectors can depend on."""
    return {library: metadata.version(library) for library in libraries}


def _digests(folder: Path) -> dict[str, str]:
    return {file.name: digest(file) for file in sorted(folder.iterdir())}


def measure_rates(
    running: Mapping[Key, encoder.Encoder], rows: encoder.Rows, *, pooled_from: int = 0
) -> dict[Key, float]:
    """Rows a second of each encoder, the best of some rounds.

    In turns, so that what else runs here slows all of them.
    """
    best = dict.fromkeys(running, float("inf"))
    for _ in range(ROUNDS):
        for key, encodes in running.items():
            started = time.perf_counter()
            _encode_all(encodes, rows, pooled_from)
            best[key] = min(best[key], time.perf_counter() - started)
    return {key: len(rows) / seconds for key, seconds in best.items()}


def _encode_all(encodes: encoder.Encoder, rows: encoder.Rows, pooled_from: int) -> None:
    batches = encoder.plan_batches(
        [len(row) for row in rows],
        batch_tokens=encodes.batch_tokens,
        max_rows=encodes.batch_rows,
    )
    with concurrent.futures.ThreadPoolExecutor(encodes.lanes) as threads:
        for _ in threads.map(
            lambda batch: encodes.bulk([rows[no] for no in batch], pooled_from), batches
        ):
            pass


def main() -> int:
    def work(given: dict[str, Any], folder: Path) -> None:
        result = convert(ConversionJob(**given), folder)
        (folder / MANIFEST).write_text(json.dumps(dataclasses.asdict(result), indent=2))

    return child_process.serve(work)


if __name__ == "__main__":
    sys.exit(main())
