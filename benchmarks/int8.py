"""What int8 gains in speed and loses in quality, beside the same model's other precisions."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks import bare, corpora, embeddings, load, metrics, plan, reference, service, table
from embedding.encoders import encoder

PART = "int8"
NAME = "minilm-int8"
K = 10
BARE_ROWS = (16, 32)
# Calibrated on another corpus than the one that it is judged by: glosses, joined so that texts are
# as short and as long as those of a corpus.
CALIBRATION = "300 texts of 1 to 12 glosses of WordNet"
CALIBRATION_TEXTS = 300
GLOSSES = (1, 2, 4, 8, 12)
FASTER = table.Target("ratio", ">=", 1.35)
NOT_LOWER = table.Target("difference", ">=", -0.01)


@dataclass
class Rates:
    """Texts a second, one value for each run; `backend` of the encoder alone."""

    http: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    backend: str = ""

    def add(self, http: float, alone: bare.Rates) -> None:
        self.http.append(http)
        self.alone.append(alone.best)
        self.backend = alone.backend


@dataclass(frozen=True, eq=False)
class Vectors:
    """(documents, dimensions) and (queries, dimensions), at unit length."""

    documents: encoder.Vectors
    queries: encoder.Vectors


@dataclass(frozen=True)
class Judged:
    """Texts by id."""

    documents: dict[str, str]
    queries: dict[str, str]
    judgments: corpora.Judgments

    @property
    def size(self) -> str:
        return f"{len(self.documents):,} documents, {len(self.queries)} queries"

    def ndcg(self, found: Vectors) -> float:
        ids = list(self.documents)
        nearest = np.argsort(-(found.queries @ found.documents.T), axis=1)[:, :K]
        scores = [
            metrics.ndcg([ids[no] for no in row], self.judgments[query], K)
            for query, row in zip(self.queries, nearest, strict=True)
        ]
        return sum(scores) / len(scores)


def run(what: plan.Plan) -> list[table.Row]:
    _register(what)
    rates = {name: Rates() for name in (NAME, embeddings.MODEL)}
    for no in range(1, what.runs + 1):
        for name, found in rates.items():
            what.say(f"{PART}, run {no} of {what.runs}: {len(what.embedded):,} texts by {name}")
            alone = bare.Job(what.embedded, str(what.data_dir), "none", BARE_ROWS, name)
            with what.serving() as running:
                embeddings.warm(what, running.port, name)
                http = embeddings.rate(what, running.port, name, name)
            found.add(http, bare.rates(alone))
    return [*_rate_rows(rates[NAME], rates[embeddings.MODEL]), *_quality(what)]


def calibration(documents: Sequence[corpora.Document]) -> list[str]:
    """Texts of unlike lengths, each one line."""
    found, start = [], 0
    chosen = corpora.sample(documents, CALIBRATION_TEXTS * max(GLOSSES), seed=8)
    for no in range(CALIBRATION_TEXTS):
        count = GLOSSES[no % len(GLOSSES)]
        some = chosen[start : start + count]
        found.append(" ".join(" ".join(one.text.split()) for one in some))
        start += count
    return [text for text in found if text]


def _register(what: plan.Plan) -> None:
    """As a user does it; with a kept data directory it may be there already."""
    if (what.data_dir / "models" / NAME).exists():
        return
    what.say(f"{PART}: calibrating {NAME}")
    file = what.folder / "calibration.txt"
    file.write_text("\n".join(calibration(what.wordnet)) + "\n", encoding="utf-8")
    options = ("--name", NAME, "--precision", "int8", "--calibrate", str(file))
    service.command(what.folder, what.settings, "models", "add", embeddings.MODEL, *options)


def _rate_rows(found: Rates, beside: Rates) -> list[table.Row]:
    size = f"{load.CLIENTS} clients x {load.TEXTS} texts"
    ways = {
        f"over HTTP, {size}": (found.http, beside.http),
        "the encoder alone": (found.alone, beside.alone),
    }
    return [
        table.Row(
            PART,
            way,
            metrics.median(values),
            unit="texts/s",
            beside=beside.backend,
            other=metrics.median(others),
            target=FASTER,
            note=f"{metrics.runs(values)} beside {metrics.spread(others)}",
        )
        for way, (values, others) in ways.items()
    ]


def _quality(what: plan.Plan) -> list[table.Row]:
    """By exact search over vectors as `POST /v1/embeddings` gives them, and by torch fp32."""
    judged = _judged(what)
    what.say(f"{PART}: {judged.size} by torch")
    both = [*judged.documents.values(), *judged.queries.values()]
    found = reference.vectors(both, what.folder / "vectors-torch.npy")
    precise = Vectors(*np.split(found, [len(judged.documents)]))
    notes = {NAME: f"; calibrated on {CALIBRATION}", embeddings.MODEL: ""}
    return [_quality_row(what, judged, name, precise, note) for name, note in notes.items()]


def _judged(what: plan.Plan) -> Judged:
    queries, judgments = what.scifact_queries
    chosen = corpora.with_relevant(what.scifact, judgments, what.sizes.scifact)
    return Judged(
        {one.id: one.whole for one in chosen}, {one.id: one.text for one in queries}, judgments
    )


def _quality_row(
    what: plan.Plan, judged: Judged, name: str, precise: Vectors, note: str
) -> table.Row:
    what.say(f"{PART}: {judged.size} by {name}")
    with what.serving() as running:
        found = Vectors(
            _embedded(what, running, list(judged.documents.values()), name),
            _embedded(what, running, list(judged.queries.values()), f"{name}:query"),
        )
    cosines = metrics.cosines(found.documents, precise.documents)
    return table.Row(
        PART,
        f"SciFact nDCG@{K}, {name}",
        judged.ndcg(found),
        beside="torch fp32",
        other=judged.ndcg(precise),
        target=NOT_LOWER,
        note=f"{judged.size}, exact; cosine to torch {cosines.mean():.6f} on average, "
        f"{cosines.min():.6f} at worst{note}",
    )


def _embedded(
    what: plan.Plan, running: service.Running, texts: Sequence[str], model: str
) -> encoder.Vectors:
    file = what.folder / "vectors-quality.npy"
    job = load.Job(running.port, embeddings.bodies(texts, model), vectors=str(file))
    load.rate(job, len(texts))
    found: encoder.Vectors = np.load(file)
    return found
