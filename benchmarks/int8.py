"""Part `int8`: speed and quality of the bundled model in int8 against its other precisions."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks import (
    bare_encoder,
    configuration,
    corpora,
    embeddings,
    load_generator,
    metrics,
    service,
    table,
    torch_reference,
)
from embedding.encoders import encoder

PART = "int8"
NAME = "minilm-int8"
K = 10
BARE_ROWS = (16, 32)
# Calibrated on another corpus than the one it is judged by: glosses, joined into texts whose
# lengths vary as in a real corpus.
CALIBRATION = "300 texts of 1 to 12 glosses of WordNet"
CALIBRATION_TEXTS = 300
GLOSSES = (1, 2, 4, 8, 12)
FASTER = table.Target("ratio", ">=", 1.35)
NOT_LOWER = table.Target("difference", ">=", -0.01)


@dataclass
class Rates:
    """Texts per second, one value per run; `backend` of the bare encoder."""

    http: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    backend: str = ""

    def add(self, http: float, alone: bare_encoder.Rates) -> None:
        self.http.append(http)
        self.alone.append(alone.best)
        self.backend = alone.backend


@dataclass(frozen=True, eq=False)
class Vectors:
    """(documents, dimensions) and (queries, dimensions), at unit length."""

    documents: encoder.Vectors
    queries: encoder.Vectors


@dataclass(frozen=True)
class JudgedCorpus:
    """Documents and queries by id, and the judgments."""

    documents: dict[str, str]
    queries: dict[str, str]
    judgments: corpora.Judgments

    @property
    def size(self) -> str:
        return f"{len(self.documents):,} documents, {len(self.queries)} queries"

    def ndcg(self, vectors: Vectors) -> float:
        ids = list(self.documents)
        nearest = np.argsort(-(vectors.queries @ vectors.documents.T), axis=1)[:, :K]
        scores = [
            metrics.ndcg([ids[no] for no in row], self.judgments[query], K)
            for query, row in zip(self.queries, nearest, strict=True)
        ]
        return sum(scores) / len(scores)


def run(config: configuration.Config) -> list[table.Row]:
    _register(config)
    rates = {name: Rates() for name in (NAME, embeddings.MODEL)}
    for no in range(1, config.runs + 1):
        for name, model_rates in rates.items():
            config.log(
                f"{PART}, run {no} of {config.runs}: {len(config.embedded):,} texts by {name}"
            )
            alone = bare_encoder.Job(config.embedded, str(config.data_dir), "none", BARE_ROWS, name)
            with config.serving() as running:
                embeddings.warm(config, running.port, name)
                http = embeddings.rate(config, running.port, name, name)
            model_rates.add(http, bare_encoder.rates(alone))
    return [*_rate_rows(rates[NAME], rates[embeddings.MODEL]), *_quality(config)]


def calibration(documents: Sequence[corpora.Document]) -> list[str]:
    """Texts of varied lengths, each a single line."""
    texts, start = [], 0
    glosses = corpora.sample(documents, CALIBRATION_TEXTS * max(GLOSSES), seed=8)
    for no in range(CALIBRATION_TEXTS):
        count = GLOSSES[no % len(GLOSSES)]
        batch = glosses[start : start + count]
        texts.append(" ".join(" ".join(gloss.text.split()) for gloss in batch))
        start += count
    return [text for text in texts if text]


def _register(config: configuration.Config) -> None:
    """Add the int8 model with the CLI, as a user does, unless a kept data directory has it."""
    if (config.data_dir / "models" / NAME).exists():
        return
    config.log(f"{PART}: calibrating {NAME}")
    file = config.folder / "calibration.txt"
    file.write_text("\n".join(calibration(config.wordnet)) + "\n", encoding="utf-8")
    options = ("--name", NAME, "--precision", "int8", "--calibrate", str(file))
    service.command(config.folder, config.settings, "models", "add", embeddings.MODEL, *options)


def _rate_rows(rates: Rates, other: Rates) -> list[table.Row]:
    size = f"{load_generator.CLIENTS} clients x {load_generator.TEXTS} texts"
    ways = {
        f"over HTTP, {size}": (rates.http, other.http),
        "bare encoder": (rates.alone, other.alone),
    }
    return [
        table.Row(
            PART,
            way,
            metrics.median(values),
            unit="texts/s",
            beside=other.backend,
            other=metrics.median(other_values),
            target=FASTER,
            note=f"{metrics.format_runs(values)} vs {metrics.format_range(other_values)}",
        )
        for way, (values, other_values) in ways.items()
    ]


def _quality(config: configuration.Config) -> list[table.Row]:
    """nDCG by exact search over vectors from `POST /v1/embeddings`, compared with torch fp32."""
    corpus = _judgments(config)
    config.log(f"{PART}: {corpus.size} with torch")
    texts = [*corpus.documents.values(), *corpus.queries.values()]
    vectors = torch_reference.vectors(texts, config.folder / "vectors-torch.npy")
    precise = Vectors(*np.split(vectors, [len(corpus.documents)]))
    notes = {NAME: f"; calibrated on {CALIBRATION}", embeddings.MODEL: ""}
    return [_quality_row(config, corpus, name, precise, note) for name, note in notes.items()]


def _judgments(config: configuration.Config) -> JudgedCorpus:
    queries, judgments = config.scifact_queries
    documents = corpora.with_relevant(config.scifact, judgments, config.sizes.scifact)
    return JudgedCorpus(
        {item.id: item.whole for item in documents},
        {item.id: item.text for item in queries},
        judgments,
    )


def _quality_row(
    config: configuration.Config, corpus: JudgedCorpus, name: str, precise: Vectors, note: str
) -> table.Row:
    config.log(f"{PART}: {corpus.size} with {name}")
    with config.serving() as running:
        vectors = Vectors(
            _embedded(config, running, list(corpus.documents.values()), name),
            _embedded(config, running, list(corpus.queries.values()), f"{name}:query"),
        )
    cosines = metrics.cosines(vectors.documents, precise.documents)
    return table.Row(
        PART,
        f"SciFact nDCG@{K}, {name}",
        corpus.ndcg(vectors),
        beside="torch fp32",
        other=corpus.ndcg(precise),
        target=NOT_LOWER,
        note=f"{corpus.size}, exact; cosine to torch {cosines.mean():.6f} on average, "
        f"{cosines.min():.6f} at worst{note}",
    )


def _embedded(
    config: configuration.Config, running: service.RunningService, texts: Sequence[str], model: str
) -> encoder.Vectors:
    file = config.folder / "vectors-quality.npy"
    job = load_generator.Job(running.port, embeddings.bodies(texts, model), vectors=str(file))
    load_generator.rate(job, len(texts))
    vectors: encoder.Vectors = np.load(file)
    return vectors
