"""How fast abstracts are embedded over HTTP, beside the encoder alone and what others use."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks import bare, corpora, infinity, load, metrics, plan, reference, table
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
    """Texts a second, one value for each run; `alone`: by the bare encoder."""

    http: list[float] = field(default_factory=list)
    http_float: list[float] = field(default_factory=list)
    alone: bare.Runs = field(default_factory=bare.Runs)
    torch: list[float] = field(default_factory=list)
    infinity: list[float] = field(default_factory=list)


def run(what: plan.Plan) -> list[table.Row]:
    """All take turns, since a machine's speed drifts; medians of the runs are compared."""
    texts, found = what.embedded, Rates()
    if not what.infinity:
        what.say(f"{PART}: without Infinity; --infinity ENV measures it too")
    for no in range(1, what.runs + 1):
        run_no = f"{PART}, run {no} of {what.runs}: {len(texts):,} texts"
        what.say(f"{run_no} over HTTP")
        with what.serving() as running:
            warm(what, running.port)
            found.http.append(rate(what, running.port, "http"))
            found.http_float.append(rate(what, running.port, "float", encoding_format="float"))
        what.say(f"{run_no} by the bare encoder")
        found.alone.add(bare.rates(bare.Job(texts, str(what.data_dir), "none")))
        what.say(f"{run_no} by torch")
        found.torch.append(reference.rate(texts))
        if what.infinity:
            what.say(f"{run_no} by Infinity")
            with infinity.running(what.infinity, what.folder) as port:
                warm(what, port)
                found.infinity.append(rate(what, port, "infinity"))
    return [*_rate_rows(what, found), *_vector_rows(what)]


def warm(what: plan.Plan, port: int, model: str = MODEL) -> None:
    """The encoder compiles code for each shape of a batch that it meets first."""
    texts = [one.whole for one in corpora.sample(what.scifact, WARM_TEXTS, seed=2)]
    load.rate(load.Job(port, bodies(texts, model), clients=1), len(texts))


def rate(what: plan.Plan, port: int, name: str, model: str = MODEL, **more: object) -> float:
    """Texts a second; the last run's vectors are kept under the name."""
    job = load.Job(
        port, bodies(what.embedded, model, **more), vectors=str(_vectors_file(what, name))
    )
    return load.rate(job, len(what.embedded))


def bodies(texts: Sequence[str], model: str = MODEL, **more: object) -> list[str]:
    """Requests whose long texts are cut, as Infinity cuts them unasked; base64 unless said."""
    fields = {"encoding_format": "base64", "truncate": "end", **more}
    return load.bodies(texts, model=model, **fields)


def _vectors_file(what: plan.Plan, name: str) -> Path:
    return what.folder / f"vectors-{name}.npy"


def _rate_rows(what: plan.Plan, found: Rates) -> list[table.Row]:
    best_rows, alone = found.alone.best()
    # Without bf16 in the CPU all compute in fp32, and less is to be won.
    native = devices.has_bf16()
    beside = [
        (f"bare encoder, {best_rows} a batch", alone, BESIDE_BARE),
        ("SentenceTransformer.encode, torch fp32", found.torch, BESIDE_TORCH if native else None),
    ]
    if what.infinity:
        name = f"Infinity {infinity.version(what.infinity)}, torch"
        beside.append((name, found.infinity, BESIDE_INFINITY if native else None))
    many = f"{len(what.embedded):,} SciFact abstracts"
    rows = [
        _rate_row(f"{many}, base64", found.http, name, others, target)
        for name, others, target in beside
    ]
    return [*rows, _rate_row("the same, float", found.http_float, "base64", found.http, None)]


def _rate_row(
    measured: str,
    values: Sequence[float],
    beside: str,
    others: Sequence[float],
    target: table.Target | None,
) -> table.Row:
    return table.Row(
        PART,
        measured,
        metrics.median(values),
        unit="texts/s",
        beside=beside,
        other=metrics.median(others),
        target=target,
        note=f"{metrics.runs(values)} beside {metrics.spread(others)}; "
        f"{load.CLIENTS} clients x {load.TEXTS} texts",
    )


def _vector_rows(what: plan.Plan) -> list[table.Row]:
    """The vectors of the last run against the encoder alone: other work would be no rate of it."""
    what.say(f"{PART}: comparing the vectors")
    alone = bare.vectors(what.data_dir, what.embedded)
    names = {"http": "base64", "float": "float"}
    if what.infinity:
        names["infinity"] = "Infinity"
    return [_vector_row(what, file, name, alone) for file, name in names.items()]


def _vector_row(what: plan.Plan, file: str, name: str, alone: encoder.Vectors) -> table.Row:
    found = np.load(_vectors_file(what, file))
    worst = float(metrics.cosines(found, alone).min())
    own = file != "infinity"
    return table.Row(
        PART,
        f"cosine to the bare encoder at worst, {name}",
        worst,
        target=SAME_VECTORS if own else None,
        note=f"{worst:.6f}; {len(found):,} vectors for {len(alone):,} texts",
    )
