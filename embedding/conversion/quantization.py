"""Quantises a model to int8 in a child process.

`python -m embedding.conversion.quantization FOLDER` reads a job on stdin and fills the folder with
the model's graph in int8. The user's texts calibrate the ranges of the activations; the canaries'
reference vectors are those that this graph makes.
"""

import dataclasses
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from embedding import errors
from embedding.canaries import check as canary_check
from embedding.conversion import child_process, convert
from embedding.encoders import encoder as encoding
from embedding.encoders import openvino_encoder, pipeline
from embedding.model_files import description, int8_graph, space
from embedding.text import tokenizer as text_tokenizer

PRESET = "MIXED"
LIBRARIES = (*convert.LIBRARIES, "nncf")


def quantise(model: description.ModelDescription, texts: Sequence[str], folder: Path) -> None:
    """Fill an empty folder with the int8 graph of a model in float; runs in a child process.

    `texts` calibrate it. Raises ModelRefused, ModelInvalid, EncoderFailed.
    """
    if not texts:
        raise errors.ModelRefused("int8 needs texts for calibration, but there are none")
    if pipeline.is_static(model):
        raise errors.ModelRefused(
            f"{model.name}: a static model has no layers to quantise; use it in float"
        )
    job = {
        "model": dataclasses.asdict(convert.ConversionJob.for_model(model, "cpu")),
        "texts": list(texts),
    }
    child_process.run(__name__, job, folder)


def calibration_digest(texts: Sequence[str]) -> str:
    return space.digest(list(texts))


def _work(job: dict[str, Any], folder: Path) -> None:
    model = convert.ConversionJob(**job["model"]).describe()
    texts: list[str] = job["texts"]
    loaded = convert.load_pipeline(model)
    tokenizer = text_tokenizer.load(model)
    precise = convert.encode_reference(loaded, model)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        file = Path(temporary) / int8_graph.GRAPH
        pipeline.save_graph(loaded, model.space.dimensions, file)
        graph = _quantise(file, _inputs(model, tokenizer, texts))
    # Not compressed to fp16: the parts left in float keep their precision.
    openvino.save_model(graph, folder / int8_graph.GRAPH, compress_to_fp16=False)
    report, mean = _write_reference(model, tokenizer, precise, folder)
    record = int8_graph.Int8Graph(
        of=model.space.fingerprint,
        calibration=calibration_digest(texts),
        texts=len(texts),
        preset=PRESET,
        worst_natural=report.worst_natural,
        worst_edge=report.worst_edge,
        mean=mean,
        versions=convert.library_versions(LIBRARIES),
        files={},
    )
    int8_graph.write(folder, dataclasses.asdict(record))


def _quantise(file: Path, inputs: list[dict[str, NDArray[np.int64]]]) -> openvino.Model:
    import nncf  # noqa: PLC0415 - takes a second, and only quantisation needs it

    nncf.set_log_level(logging.ERROR)
    return nncf.quantize(
        openvino.Core().read_model(file),
        nncf.Dataset(inputs),
        subset_size=len(inputs),
        preset=nncf.QuantizationPreset[PRESET],
        model_type=nncf.ModelType.TRANSFORMER,
    )


def _inputs(
    model: description.ModelDescription, tokenizer: text_tokenizer.Tokenizer, texts: Sequence[str]
) -> list[dict[str, NDArray[np.int64]]]:
    """Each text alone, as a document."""
    prompt = model.document_prompt.text
    pooled_from = 0 if model.space.include_prompt else tokenizer.pooled_from(prompt)
    inputs = []
    for text in texts:
        row = canary_check.token_row(tokenizer, text, prompt)
        ids, mask = encoding.pad([row], at_most=model.space.max_tokens)
        pooling = openvino_encoder.pooling_mask(mask, pooled_from)
        inputs.append({"input_ids": ids, "attention_mask": mask, "pooling_mask": pooling})
    return inputs


def _write_reference(
    model: description.ModelDescription,
    tokenizer: text_tokenizer.Tokenizer,
    precise: encoding.Vectors,
    folder: Path,
) -> tuple[canary_check.CanaryReport, float]:
    """Write the canaries' vectors by the int8 graph; return how near they are to torch fp32.

    The report, and the mean cosine.
    """
    encoder = openvino_encoder.Int8Encoder(folder, limit=model.space.max_tokens)
    check = canary_check.Check(tokenizer, model, precise)
    vectors = check.vectors(encoder, canary_check.ALL, alone=True)
    lost = [
        text.text
        for text, row, exact in zip(canary_check.TEXTS, vectors, precise, strict=True)
        if not np.isfinite(row).all() and np.isfinite(exact).all() and exact.any()
    ]
    if lost:
        raise errors.CanaryMoved(
            f"{model.name}: in int8 {len(lost)} texts have no vector, such as {lost[0][:40]!r}"
        )
    np.save(folder / int8_graph.REFERENCE, np.nan_to_num(vectors))
    own = canary_check.Check(tokenizer, model, np.nan_to_num(vectors)).run(encoder)
    if own.level == "refuse":
        raise errors.CanaryMoved(
            f"{model.name}: in int8 vectors depend on their batch: {own.describe()}"
        )
    cosines = (vectors.astype(np.float64) * precise).sum(axis=1)
    return canary_check.compare(precise, vectors), float(np.nanmean(cosines))


if __name__ == "__main__":
    sys.exit(child_process.serve(_work))
