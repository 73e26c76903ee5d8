"""Compares a model's backends on this machine: whether their vectors agree, and how fast they are.

Runs in a child process, `python -m embedding.conversion.comparison FOLDER`, with a job on stdin.
"""

import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from embedding.canaries import check as canary_check
from embedding.conversion import child_process, convert
from embedding.encoders import (
    devices,
    factory,
    openvino_encoder,
    pipeline,
    static_encoder,
)
from embedding.encoders import encoder as encoding
from embedding.model_files import description, int8_graph
from embedding.text import tokenizer as text_tokenizer

RESULT = "comparison.json"


@dataclass(frozen=True)
class BackendComparison:
    """One backend; `level` says how near its vectors are to those of `against`.

    `rate`: texts per second over the canaries. A backend that doesn't run has only a `failure`.
    """

    backend: str
    dtype: str
    device: str
    against: str = ""
    worst_natural: float = 0.0
    worst_edge: float = 0.0
    level: str = ""
    rate: float = 0.0
    failure: str = ""


def compare(model: description.ModelDescription, *, device: str) -> list[BackendComparison]:
    """Runs in a child process, because it needs torch. Raises ModelInvalid, EncoderFailed."""
    in_float = model
    if model.int8 is not None:
        options = dataclasses.replace(model.options, precision="float")
        in_float = description.describe(
            model.name, model.directory, revision=model.revision, options=options
        )
    job = {
        "model": dataclasses.asdict(
            convert.ConversionJob.for_model(in_float, devices.choose_device(device))
        ),
        "int8": model.int8 is not None,
    }
    with tempfile.TemporaryDirectory() as folder:
        child_process.run(__name__, job, Path(folder))
        return msgspec.json.decode(
            (Path(folder) / RESULT).read_bytes(), type=list[BackendComparison]
        )


def _work(content: dict[str, Any], folder: Path) -> None:
    job = convert.ConversionJob(**content["model"])
    model = job.describe()
    loaded = convert.load_pipeline(model)
    tokenizer = text_tokenizer.load(model)
    precise = canary_check.Check(tokenizer, model, convert.encode_reference(loaded, model))
    if not pipeline.is_static(model):
        pipeline.save_graph(loaded, model.space.dimensions, folder / openvino_encoder.MODEL)
    del loaded
    quantised = precise
    int8_folder = model.directory / int8_graph.FOLDER
    if content["int8"]:
        reference = np.load(int8_folder / int8_graph.REFERENCE)
        quantised = canary_check.Check(tokenizer, model, reference)
    compared: list[BackendComparison] = []
    encoders: dict[int, encoding.Encoder] = {}
    for no, backend in enumerate(_backends(model, job.device, int8=content["int8"])):
        try:
            encoder = factory.open_encoder(
                model,
                backend.backend,
                backend.dtype,
                device=backend.device,
                folder=int8_folder if backend.dtype == "int8" else folder,
            )
            check = quantised if backend.dtype == "int8" else precise
            compared.append(_compare(backend, check, encoder))
        except Exception as exc:  # backends raise anything; the others are compared
            reason = f"{type(exc).__name__}: {exc}".partition("\n")[0]
            compared.append(dataclasses.replace(backend, failure=reason))
        else:
            encoders[no] = encoder
    rates = convert.measure_rates(encoders, precise.rows, pooled_from=precise.pooled_from)
    for no, rate in rates.items():
        compared[no] = dataclasses.replace(compared[no], rate=rate)
    (folder / RESULT).write_text(json.dumps([dataclasses.asdict(backend) for backend in compared]))


def _compare(
    backend: BackendComparison, check: canary_check.Check, encoder: encoding.Encoder
) -> BackendComparison:
    report = check.run(encoder)
    return dataclasses.replace(
        backend,
        against="itself when it was quantised" if backend.dtype == "int8" else "torch fp32",
        worst_natural=report.worst_natural,
        worst_edge=report.worst_edge,
        level=report.level,
    )


def _backends(
    model: description.ModelDescription, device: str, *, int8: bool
) -> Iterator[BackendComparison]:
    yield BackendComparison("torch", "f32", "cpu")
    if static_encoder.can_read(model):
        yield BackendComparison("static", "f32", "cpu")
    if not pipeline.is_static(model):
        yield BackendComparison("openvino", "f32", "cpu")
        if devices.has_bf16():
            yield BackendComparison("openvino", "bf16", "cpu")
    if int8:
        yield BackendComparison("openvino", "int8", "cpu")
    if device != "cpu":
        for dtype in ("f32", "bf16", "f16"):
            yield BackendComparison("torch", dtype, device)


if __name__ == "__main__":
    sys.exit(child_process.serve(_work))
