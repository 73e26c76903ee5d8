"""How fast SciFact goes in over HTTP, beside the encoder alone and sentence-transformers."""

from dataclasses import dataclass, field

from benchmarks import bare, corpora, metrics, plan, processes, reference, service, table
from embedding.encoders import devices

COLLECTION = "bench-ingest"
WARM_DOCUMENTS = 256
BESIDE_BARE = table.Target("ratio", ">=", 0.9)
BESIDE_TORCH = table.Target("ratio", ">=", 2.3)


@dataclass
class Rates:
    """Documents a second, one value for each run; `few`: of the texts that torch takes."""

    http: list[float] = field(default_factory=list)
    http_few: list[float] = field(default_factory=list)
    torch: list[float] = field(default_factory=list)
    alone: bare.Runs = field(default_factory=bare.Runs)
    tokenizing: list[float] = field(default_factory=list)
    http_cpu_ms: list[float] = field(default_factory=list)
    bare_cpu_ms: list[float] = field(default_factory=list)


def run(what: plan.Plan) -> list[table.Row]:
    """The three take turns, since a machine's speed drifts; medians of the runs are compared."""
    chosen = corpora.sample(what.scifact, what.sizes.ingest)
    few = corpora.sample(chosen, what.sizes.torch, seed=1)
    texts = [document.whole for document in chosen]
    found = Rates()
    for no in range(1, what.runs + 1):
        what.say(f"ingest, run {no} of {what.runs}: {len(chosen):,} documents by the bare encoder")
        alone = bare.rates(bare.Job(texts, str(what.data_dir), "none"))
        found.alone.add(alone)
        found.tokenizing.append(alone.tokenizing)
        found.bare_cpu_ms.append(alone.cpu_ms)
        what.say(f"ingest, run {no} of {what.runs}: {len(chosen):,} documents over HTTP")
        with what.emptied(COLLECTION) as running:
            _warm(what, running)
            used = processes.cpu_seconds(running.pid)
            found.http.append(_rate(running, chosen))
            used = processes.cpu_seconds(running.pid) - used
            found.http_cpu_ms.append(1e3 * used / len(chosen))
            if few:
                found.http_few.append(_rate(running, few))
        if few:
            what.say(f"ingest, run {no} of {what.runs}: {len(few):,} documents by torch")
            found.torch.append(reference.rate([document.whole for document in few]))
    return _rows(found, len(chosen), len(few))


def _warm(what: plan.Plan, running: service.Running) -> None:
    """The encoder compiles code for each shape of a batch that it meets first."""
    _rate(running, corpora.sample(what.scifact, WARM_DOCUMENTS, seed=2))


def _rate(running: service.Running, chosen: list[corpora.Document]) -> float:
    plan.drop(running, COLLECTION)
    running.client.create(COLLECTION, strategy="none")
    return running.client.ingest(COLLECTION, corpora.ndjson(chosen)).rate


def _rows(found: Rates, many: int, few: int) -> list[table.Row]:
    rows, alone = found.alone.best()
    medians = "; ".join(
        f"{size} a batch: {metrics.figure(metrics.median(rates))}"
        for size, rates in found.alone.by_rows.items()
    )
    shown = [
        table.Row(
            "ingest",
            f"{many:,} documents of SciFact over HTTP",
            metrics.median(found.http),
            unit="docs/s",
            beside=f"bare encoder, {rows} a batch",
            other=metrics.median(alone),
            target=BESIDE_BARE,
            note=f"{metrics.runs(found.http)} beside {metrics.spread(alone)}; {_cpu(found)}; "
            f"bare: {medians}, tokenizing takes {metrics.median(found.tokenizing):.1%}",
        )
    ]
    if found.torch:
        shown.append(_beside_torch(found, few))
    return shown


def _beside_torch(found: Rates, few: int) -> table.Row:
    return table.Row(
        "ingest",
        f"{few:,} of them",
        metrics.median(found.http_few),
        unit="docs/s",
        beside="SentenceTransformer.encode, torch fp32",
        other=metrics.median(found.torch),
        # Without bf16 in the CPU both compute in fp32, and less is to be won.
        target=BESIDE_TORCH if devices.has_bf16() else None,
        note=f"{metrics.runs(found.http_few)} beside {metrics.spread(found.torch)}",
    )


def _cpu(found: Rates) -> str:
    """What other processes on the machine change less than the rates."""
    over_http, alone = map(metrics.median, (found.http_cpu_ms, found.bare_cpu_ms))
    return f"CPU a document {over_http:.1f} ms beside {alone:.1f}"
