"""A model on every backend that this machine can run it on: the same vectors, and how fast.

Runs in its own process, `python -m embedding.conversion.comparison FOLDER`, with a job on stdin.
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

from embedding.canaries import check
from embedding.conversion import child_process, convert
from embedding.encoders import (
    devices,
    encoder,
    factory,
    openvino_encoder,
    pipeline,
    static_encoder,
)
from embedding.model_files import description, int8_graph
from embedding.text import tokenizer as text_tokenizer

RESULT = "comparison.json"


@dataclass(frozen=True)
class BackendComparison:
    """One backend. `against` is what its vectors were compared with, by which it is of `level`.

    `rate`: texts a second over the canaries. One that doesn't run has only a `failure`.
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
    """In a child process: it needs torch. Raises ModelInvalid, EncoderFailed."""
    in_float = model
    if model.int8 is not None:
        options = dataclasses.replace(model.options, precision="float")
        in_float = description.describe(
            model.name, model.directory, revision=model.revision, options=options
        )
    job = {
        "model": dataclasses.asdict(
            convert.ConversionJob.of(in_float, devices.choose_device(device))
        ),
        "int8": model.int8 is not None,
    }
    with tempfile.TemporaryDirectory() as folder:
        child_process.run(__name__, job, Path(folder))
        return msgspec.json.decode(
            (Path(folder) / RESULT).read_bytes(), type=list[BackendComparison]
        )


def _work(given: dict[str, Any], folder: Path) -> None:
    job = convert.ConversionJob(**given["model"])
    model = job.describe()
    loaded = convert.open_whole(model)
    tokenizer = text_tokenizer.load(model)
    precise = check.Check(tokenizer, model, convert.reference(loaded, model))
    if not pipeline.is_static(model):
        pipeline.save_graph(loaded, model.space.dimensions, folder / openvino_encoder.MODEL)
    del loaded
    own = precise
    graphs = model.directory / int8_graph.FOLDER
    if given["int8"]:
        reference = np.load(graphs / int8_graph.REFERENCE)
        own = check.Check(tokenizer, model, reference)
    compared: list[BackendComparison] = []
    running: dict[int, encoder.Encoder] = {}
    for no, kind in enumerate(_kinds(model, job.device, int8=given["int8"])):
        try:
            encodes = factory.open_encoder(
                model,
                kind.backend,
                kind.dtype,
                device=kind.device,
                folder=graphs if kind.dtype == "int8" else folder,
            )
            compared.append(_compared(kind, own if kind.dtype == "int8" else precise, encodes))
        except Exception as exc:  # whatever a backend raises: the others are compared
            reason = f"{type(exc).__name__}: {exc}".partition("\n")[0]
            compared.append(dataclasses.replace(kind, failure=reason))
        else:
            running[no] = encodes
    measured = convert.measure_rates(running, precise.rows, pooled_from=precise.pooled_from)
    for no, rate in measured.items():
        compared[no] = dataclasses.replace(compared[no], rate=rate)
    (folder / RESULT).write_text(json.dumps([dataclasses.asdict(one) for one in compared]))


def _compared(
    kind: BackendComparison, check: check.Check, encodes: encoder.Encoder
) -> BackendComparison:
    report = check.run(encodes)
    return dataclasses.replace(
        kind,
        against="itself when it was quantised" if kind.dtype == "int8" else "torch fp32",
        worst_natural=report.worst_natural,
        worst_edge=report.worst_edge,
        level=report.level,
    )


def _kinds(
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
