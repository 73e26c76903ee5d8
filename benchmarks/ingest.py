"""Part `ingest`: indexing throughput over HTTP against the bare encoder and torch."""

from dataclasses import dataclass, field

from benchmarks import (
    bare_encoder,
    configuration,
    corpora,
    metrics,
    processes,
    service,
    table,
    torch_reference,
)
from embedding.encoders import devices

COLLECTION = "bench-ingest"
WARM_DOCUMENTS = 256
BESIDE_BARE = table.Target("ratio", ">=", 0.9)
BESIDE_TORCH = table.Target("ratio", ">=", 2.3)


@dataclass
class Rates:
    """Documents per second, one value per run.

    `http_torch_documents` is the service's rate for the documents that torch embeds too.
    """

    http: list[float] = field(default_factory=list)
    http_torch_documents: list[float] = field(default_factory=list)
    torch: list[float] = field(default_factory=list)
    alone: bare_encoder.Runs = field(default_factory=bare_encoder.Runs)
    tokenizing: list[float] = field(default_factory=list)
    http_cpu_ms: list[float] = field(default_factory=list)
    bare_cpu_ms: list[float] = field(default_factory=list)


def run(config: configuration.Config) -> list[table.Row]:
    """Alternate between the three, since a machine's speed drifts, and compare medians."""
    documents = corpora.sample(config.scifact, config.sizes.ingest)
    torch_documents = corpora.sample(documents, config.sizes.torch, seed=1)
    texts = [document.whole for document in documents]
    rates = Rates()
    for no in range(1, config.runs + 1):
        config.log(
            f"ingest, run {no} of {config.runs}: {len(documents):,} documents by the bare encoder"
        )
        alone = bare_encoder.rates(bare_encoder.Job(texts, str(config.data_dir), "none"))
        rates.alone.add(alone)
        rates.tokenizing.append(alone.tokenizing)
        rates.bare_cpu_ms.append(alone.cpu_ms)
        config.log(f"ingest, run {no} of {config.runs}: {len(documents):,} documents over HTTP")
        with config.emptied(COLLECTION) as running:
            _warm(config, running)
            cpu_s = processes.cpu_seconds(running.pid)
            rates.http.append(_rate(running, documents))
            cpu_s = processes.cpu_seconds(running.pid) - cpu_s
            rates.http_cpu_ms.append(1e3 * cpu_s / len(documents))
            if torch_documents:
                rates.http_torch_documents.append(_rate(running, torch_documents))
        if torch_documents:
            config.log(
                f"ingest, run {no} of {config.runs}: {len(torch_documents):,} documents by torch"
            )
            rates.torch.append(
                torch_reference.rate([document.whole for document in torch_documents])
            )
    return _rows(rates, len(documents), len(torch_documents))


def _warm(config: configuration.Config, running: service.RunningService) -> None:
    """Warm up: the encoder compiles code for each new batch shape."""
    _rate(running, corpora.sample(config.scifact, WARM_DOCUMENTS, seed=2))


def _rate(running: service.RunningService, documents: list[corpora.Document]) -> float:
    running.client.drop(COLLECTION)
    running.client.create(COLLECTION, strategy="none")
    return running.client.ingest(COLLECTION, corpora.ndjson(documents)).rate


def _rows(rates: Rates, count: int, torch_count: int) -> list[table.Row]:
    rows, alone = rates.alone.best()
    medians = "; ".join(
        f"batches of {size}: {metrics.format_number(metrics.median(rates))}"
        for size, rates in rates.alone.by_rows.items()
    )
    table_rows = [
        table.Row(
            "ingest",
            f"{count:,} documents of SciFact over HTTP",
            metrics.median(rates.http),
            unit="docs/s",
            beside=f"bare encoder, batches of {rows}",
            other=metrics.median(alone),
            target=BESIDE_BARE,
            note=f"{metrics.format_runs(rates.http)} vs {metrics.format_range(alone)}; "
            f"{_cpu(rates)}; bare: {medians}, "
            f"tokenizing takes {metrics.median(rates.tokenizing):.1%}",
        )
    ]
    if rates.torch:
        table_rows.append(_beside_torch(rates, torch_count))
    return table_rows


def _beside_torch(rates: Rates, torch_count: int) -> table.Row:
    return table.Row(
        "ingest",
        f"{torch_count:,} of them",
        metrics.median(rates.http_torch_documents),
        unit="docs/s",
        beside="SentenceTransformer.encode, torch fp32",
        other=metrics.median(rates.torch),
        # Without bf16 in the CPU both run in fp32, so there is less to gain.
        target=BESIDE_TORCH if devices.has_bf16() else None,
        note=f"{metrics.format_runs(rates.http_torch_documents)} "
        f"vs {metrics.format_range(rates.torch)}",
    )


def _cpu(rates: Rates) -> str:
    """CPU time per document, which other processes on the machine affect less than the rates."""
    over_http, alone = map(metrics.median, (rates.http_cpu_ms, rates.bare_cpu_ms))
    return f"CPU per document {over_http:.1f} ms vs {alone:.1f}"
