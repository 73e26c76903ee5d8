"""Part `embeddings`: throughput of `POST /v1/embeddings` against the bare encoder and others."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks import (
    bare_encoder,
    configuration,
    corpora,
    infinity,
    load_generator,
    metrics,
    table,
    torch_reference,
)
from embedding.encoders import devices, encoder

PART = "embeddings"
MODEL = infinity.MODEL
WARM_TEXTS = 128
BESIDE_BARE = table.Target("ratio", ">=", 0.95)
BESIDE_TORCH = table.Target("ratio", ">=", 2.4)
BESIDE_INFINITY = table.Target("ratio", ">=", 2.5)
SAME_VECTORS = table.Target("figure", ">=", 0.9999)


@dataclass
class Rates:
    """Texts per second, one value per run; `alone` is the bare encoder."""

    http: list[float] = field(default_factory=list)
    http_float: list[float] = field(default_factory=list)
    alone: bare_encoder.Runs = field(default_factory=bare_encoder.Runs)
    torch: list[float] = field(default_factory=list)
    infinity: list[float] = field(default_factory=list)


def run(config: configuration.Config) -> list[table.Row]:
    """Alternate between all candidates, since a machine's speed drifts, and compare medians."""
    texts, rates = config.embedded, Rates()
    if not config.infinity:
        config.log(f"{PART}: without Infinity; pass --infinity ENV to include it")
    for no in range(1, config.runs + 1):
        run_no = f"{PART}, run {no} of {config.runs}: {len(texts):,} texts"
        config.log(f"{run_no} over HTTP")
        with config.serving() as running:
            warm(config, running.port)
            rates.http.append(rate(config, running.port, "http"))
            rates.http_float.append(rate(config, running.port, "float", encoding_format="float"))
        config.log(f"{run_no} by the bare encoder")
        rates.alone.add(bare_encoder.rates(bare_encoder.Job(texts, str(config.data_dir), "none")))
        config.log(f"{run_no} by torch")
        rates.torch.append(torch_reference.rate(texts))
        if config.infinity:
            config.log(f"{run_no} by Infinity")
            with infinity.running(config.infinity, config.folder) as port:
                warm(config, port)
                rates.infinity.append(rate(config, port, "infinity"))
    return [*_rate_rows(config, rates), *_vector_rows(config)]


def warm(config: configuration.Config, port: int, model: str = MODEL) -> None:
    """Warm up: the encoder compiles code for each new batch shape."""
    texts = [document.whole for document in corpora.sample(config.scifact, WARM_TEXTS, seed=2)]
    load_generator.rate(load_generator.Job(port, bodies(texts, model), clients=1), len(texts))


def rate(
    config: configuration.Config, port: int, name: str, model: str = MODEL, **more: object
) -> float:
    """Texts per second; the vectors of the last run are kept under `name`."""
    job = load_generator.Job(
        port, bodies(config.embedded, model, **more), vectors=str(_vectors_file(config, name))
    )
    return load_generator.rate(job, len(config.embedded))


def bodies(texts: Sequence[str], model: str = MODEL, **more: object) -> list[str]:
    """Requests that cut long texts, as Infinity always does; base64 unless `more` overrides it."""
    fields = {"encoding_format": "base64", "truncate": "end", **more}
    return load_generator.bodies(texts, model=model, **fields)


def _vectors_file(config: configuration.Config, name: str) -> Path:
    return config.folder / f"vectors-{name}.npy"


def _rate_rows(config: configuration.Config, rates: Rates) -> list[table.Row]:
    best_rows, alone = rates.alone.best()
    # Without bf16 in the CPU everything runs in fp32, so there is less to gain.
    native = devices.has_bf16()
    comparisons = [
        (f"bare encoder, batches of {best_rows}", alone, BESIDE_BARE),
        ("SentenceTransformer.encode, torch fp32", rates.torch, BESIDE_TORCH if native else None),
    ]
    if config.infinity:
        name = f"Infinity {infinity.version(config.infinity)}, torch"
        comparisons.append((name, rates.infinity, BESIDE_INFINITY if native else None))
    corpus = f"{len(config.embedded):,} SciFact abstracts"
    rows = [
        _rate_row(f"{corpus}, base64", rates.http, name, other_rates, target)
        for name, other_rates, target in comparisons
    ]
    return [*rows, _rate_row("the same, float", rates.http_float, "base64", rates.http, None)]


def _rate_row(
    measured: str,
    values: Sequence[float],
    beside: str,
    other_rates: Sequence[float],
    target: table.Target | None,
) -> table.Row:
    return table.Row(
        PART,
        measured,
        metrics.median(values),
        unit="texts/s",
        beside=beside,
        other=metrics.median(other_rates),
        target=target,
        note=f"{metrics.format_runs(values)} vs {metrics.format_range(other_rates)}; "
        f"{load_generator.CLIENTS} clients x {load_generator.TEXTS} texts",
    )


def _vector_rows(config: configuration.Config) -> list[table.Row]:
    """Compare the last run's vectors with the bare encoder's: rates count only for equal work."""
    config.log(f"{PART}: comparing the vectors")
    alone = bare_encoder.vectors(config.data_dir, config.embedded)
    names = {"http": "base64", "float": "float"}
    if config.infinity:
        names["infinity"] = "Infinity"
    return [_vector_row(config, file, name, alone) for file, name in names.items()]


def _vector_row(
    config: configuration.Config, file: str, name: str, alone: encoder.Vectors
) -> table.Row:
    vectors = np.load(_vectors_file(config, file))
    worst = float(metrics.cosines(vectors, alone).min())
    own = file != "infinity"
    return table.Row(
        PART,
        f"lowest cosine to the bare encoder, {name}",
        worst,
        target=SAME_VECTORS if own else None,
        note=f"{worst:.6f}; {len(vectors):,} vectors for {len(alone):,} texts",
    )
