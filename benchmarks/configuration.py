"""What to measure, where the corpora are, and where the services under test keep their data."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from api import settings
from benchmarks import corpora, infinity, service

NEED_SCIFACT = {"quality", "ingest", "embeddings", "latency", "int8", "overload", "reembed"}
NEED_WORDNET = {"memory", "search", "crossover", "int8"}
# Documents of `crossover` that are kept out of its tables.
CROSSOVER_QUERIES = 100
CROSSOVER_INSERTS = 200


class DataMissing(RuntimeError):
    """A part needs a data folder that wasn't named, or that lacks the expected files."""


@dataclass(frozen=True)
class Sizes:
    """How many documents or queries each part uses; 0 means all."""

    scifact: int = 0
    ingest: int = 1000
    torch: int = 200
    wordnet: int = 0
    bare_wordnet: int = 20_000
    queries: int = 300
    crossover: int = 20_000
    embeddings: int = 1024
    reembed: int = 800
    switched: int = 2000


@dataclass(frozen=True)
class FireSettings:
    """Size, duration, seed and models of the part `fire`; models by the service's names."""

    documents: int = 20_000
    seconds: float = 300.0
    seed: int = 1
    source: str = "bundled"
    target: str = "wordllama"


@dataclass(frozen=True)
class Config:
    """Configuration of one run: `folder` holds the services' data directory.

    `settings` apply to every service; `infinity` is the virtual environment with Infinity; `log`
    reports progress.
    """

    folder: Path
    scifact_folder: Path | None
    wordnet_folder: Path | None
    sizes: Sizes
    runs: int
    settings: Mapping[str, str]
    infinity: Path | None
    overload_clients: int
    overload_s: float
    log: Callable[[str], None]
    fire: FireSettings = field(default_factory=FireSettings)

    def check(self, parts: Sequence[str]) -> None:
        """Raise DataMissing before anything starts if a part's data isn't there."""
        if not NEED_SCIFACT.isdisjoint(parts):
            _existing_folder(self.scifact_folder, "SciFact")
        if not NEED_WORDNET.isdisjoint(parts):
            _existing_folder(self.wordnet_folder, "WordNet")
        if self.infinity and not infinity.program(self.infinity).is_file():
            raise DataMissing(f"{infinity.program(self.infinity)} doesn't exist: {infinity.ADVICE}")

    @property
    def data_dir(self) -> Path:
        """Data directory of the services under test; it also holds the converted models."""
        return service.data_dir(self.folder)

    @property
    def hnsw_min_rows(self) -> int:
        value = self.settings.get("HNSW_MIN_ROWS")
        return settings.Settings().hnsw_min_rows if value is None else int(value)

    def serving(self) -> AbstractContextManager[service.RunningService]:
        return service.running(self.folder, self.settings)

    @contextmanager
    def emptied(self, collection: str) -> Iterator[service.RunningService]:
        """A service in which that collection doesn't exist, neither before nor after."""
        with self.serving() as running:
            running.client.drop(collection)
            yield running
            running.client.drop(collection)

    @cached_property
    def scifact(self) -> list[corpora.Document]:
        return self._documents(self.scifact_folder, "SciFact")

    @cached_property
    def scifact_queries(self) -> tuple[list[corpora.Query], corpora.Judgments]:
        return corpora.judged_queries(_existing_folder(self.scifact_folder, "SciFact"))

    @cached_property
    def wordnet(self) -> list[corpora.Document]:
        documents = self._documents(self.wordnet_folder, "WordNet")
        return corpora.sample(documents, self.sizes.wordnet)

    @cached_property
    def crossover(self) -> list[corpora.Document]:
        """Documents for the largest table, plus those used as queries and inserted rows."""
        size = self.sizes.crossover
        extra = CROSSOVER_QUERIES + CROSSOVER_INSERTS
        documents = self._documents(self.wordnet_folder, "WordNet")
        return corpora.sample(documents, size + extra if size else 0, seed=5)

    @cached_property
    def embedded(self) -> list[str]:
        """SciFact abstracts that are sent to be embedded."""
        documents = corpora.sample(self.scifact, self.sizes.embeddings, seed=6)
        return [document.whole for document in documents]

    @property
    def claims(self) -> list[str]:
        count = self.sizes.queries
        claims = [query.text for query in self.scifact_queries[0]]
        return claims[:count] if count else claims

    def _documents(self, folder: Path | None, name: str) -> list[corpora.Document]:
        return corpora.documents(_existing_folder(folder, name))


def _existing_folder(folder: Path | None, name: str) -> Path:
    if folder is None:
        raise DataMissing(f"this part needs {name}: pass --data FOLDER or --{name.lower()} FOLDER")
    if not (folder / "corpus.jsonl").is_file():
        raise DataMissing(f"{folder} has no corpus.jsonl, so it isn't a {name} folder")
    return folder
