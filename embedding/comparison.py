"""A model on every backend that this machine can run it on: the same vectors, and how fast.

Runs in a process of its own, `python -m embedding.comparison FOLDER`, with a job on stdin.
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

from embedding import (
    accelerator,
    canary_check,
    child,
    conversion,
    cpu,
    description,
    encoder,
    int8_encoder,
    int8_graph,
    openvino_encoder,
    pipeline,
    rates,
    static_encoder,
    tokenizing,
    torch_encoder,
)

RESULT = "comparison.json"


@dataclass(frozen=True)
class Compared:
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


def compare(model: description.ModelDescription, *, device: str) -> list[Compared]:
    """In a child process: it needs torch. Raises ModelInvalid, EncoderFailed."""
    in_float = model
    if model.int8 is not None:
        options = dataclasses.replace(model.options, precision="float")
        in_float = description.describe(
            model.name, model.directory, revision=model.revision, options=options
        )
    job = {
        "model": dataclasses.asdict(conversion.Job.of(in_float, accelerator.choose(device))),
        "int8": model.int8 is not None,
    }
    with tempfile.TemporaryDirectory() as folder:
        child.run(__name__, job, Path(folder))
        return msgspec.json.decode((Path(folder) / RESULT).read_bytes(), type=list[Compared])


def _work(given: dict[str, Any], folder: Path) -> None:
    job = conversion.Job(**given["model"])
    model = job.describe()
    loaded = conversion.open_whole(model)
    tokenizer = tokenizing.load(model)
    precise = canary_check.Check(tokenizer, model, conversion.reference(loaded, model))
    if not pipeline.is_static(model):
        pipeline.save_graph(loaded, model.space.dimensions, folder / openvino_encoder.MODEL)
    del loaded
    own = precise
    if given["int8"]:
        reference = np.load(model.directory / int8_graph.FOLDER / int8_graph.REFERENCE)
        own = canary_check.Check(tokenizer, model, reference)
    compared: list[Compared] = []
    running: dict[int, encoder.Encoder] = {}
    for no, kind in enumerate(_kinds(model, job.device, int8=given["int8"])):
        try:
            encodes = _encoder(kind, model, folder)
            compared.append(_compared(kind, own if kind.dtype == "int8" else precise, encodes))
        except Exception as exc:  # whatever a backend raises: the others are compared
            reason = f"{type(exc).__name__}: {exc}".partition("\n")[0]
            compared.append(dataclasses.replace(kind, failure=reason))
        else:
            running[no] = encodes
    measured = rates.measure(running, precise.rows, pooled_from=precise.pooled_from)
    for no, rate in measured.items():
        compared[no] = dataclasses.replace(compared[no], rate=rate)
    (folder / RESULT).write_text(json.dumps([dataclasses.asdict(one) for one in compared]))


def _compared(kind: Compared, check: canary_check.Check, encodes: encoder.Encoder) -> Compared:
    report = check.run(encodes)
    return dataclasses.replace(
        kind,
        against="itself when it was quantised" if kind.dtype == "int8" else "torch fp32",
        worst_natural=report.worst_natural,
        worst_edge=report.worst_edge,
        level=report.level,
    )


def _kinds(model: description.ModelDescription, device: str, *, int8: bool) -> Iterator[Compared]:
    yield Compared("torch", "f32", "cpu")
    if static_encoder.can_read(model):
        yield Compared("static", "f32", "cpu")
    if not pipeline.is_static(model):
        yield Compared("openvino", "f32", "cpu")
        if cpu.has_bf16():
            yield Compared("openvino", "bf16", "cpu")
    if int8:
        yield Compared("openvino", "int8", "cpu")
    if device != "cpu":
        for dtype in ("f32", "bf16", "f16"):
            yield Compared("torch", dtype, device)


def _encoder(kind: Compared, model: description.ModelDescription, folder: Path) -> encoder.Encoder:
    limit = model.space.max_tokens
    if kind.backend == "static":
        return static_encoder.load(model)
    if kind.backend == "torch":
        return torch_encoder.TorchEncoder(model, device=kind.device, dtype=kind.dtype)
    if kind.dtype == "int8":
        return int8_encoder.Int8Encoder(model.directory / int8_graph.FOLDER, limit=limit)
    return openvino_encoder.OpenVINOEncoder(folder, dtype=kind.dtype, limit=limit)


if __name__ == "__main__":
    sys.exit(child.serve(_work))
