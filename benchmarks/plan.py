"""What is to be measured, where the data lies, and where the services under test live."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from api import settings
from benchmarks import corpora, infinity, service

NEED_SCIFACT = {"quality", "ingest", "embeddings", "latency", "int8", "overload", "reembed"}
NEED_WORDNET = {"memory", "search", "crossover", "int8"}
# Documents of the part crossover that are in none of its tables.
CROSSOVER_QUERIES = 100
CROSSOVER_INSERTS = 200


class DataMissing(RuntimeError):
    """A part needs a data folder that was not given, or that does not hold what it should."""


@dataclass(frozen=True)
class Sizes:
    """How many documents or queries each part takes; 0 takes all."""

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
class Fire:
    """How long the part fire burns, and over what; its models as the service names them."""

    documents: int = 20_000
    seconds: float = 300.0
    seed: int = 1
    source: str = "bundled"
    target: str = "wordllama"


@dataclass(frozen=True)
class Plan:
    """`folder` holds the data directory of the services, `settings` are set for all of them.

    `infinity` is the environment that Infinity is installed in.
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
    say: Callable[[str], None]
    fire: Fire = field(default_factory=Fire)

    def check(self, parts: Sequence[str]) -> None:
        """DataMissing before anything is started, where a part's data is not there."""
        if not NEED_SCIFACT.isdisjoint(parts):
            _given(self.scifact_folder, "SciFact")
        if not NEED_WORDNET.isdisjoint(parts):
            _given(self.wordnet_folder, "WordNet")
        if self.infinity and not infinity.program(self.infinity).is_file():
            raise DataMissing(f"there is no {infinity.program(self.infinity)}: {infinity.ADVICE}")

    @property
    def data_dir(self) -> Path:
        """That of the services under test: the converted models are there, too."""
        return service.data_dir(self.folder)

    @property
    def hnsw_min_rows(self) -> int:
        given = self.settings.get("HNSW_MIN_ROWS")
        return settings.Settings().hnsw_min_rows if given is None else int(given)

    def serving(self) -> AbstractContextManager[service.Running]:
        return service.running(self.folder, self.settings)

    @contextmanager
    def emptied(self, collection: str) -> Iterator[service.Running]:
        """A service without that collection, neither before nor after."""
        with self.serving() as running:
            drop(running, collection)
            yield running
            drop(running, collection)

    @cached_property
    def scifact(self) -> list[corpora.Document]:
        return self._documents(self.scifact_folder, "SciFact")

    @cached_property
    def scifact_queries(self) -> tuple[list[corpora.Query], corpora.Judgments]:
        return corpora.judged_queries(_given(self.scifact_folder, "SciFact"))

    @cached_property
    def wordnet(self) -> list[corpora.Document]:
        found = self._documents(self.wordnet_folder, "WordNet")
        return corpora.sample(found, self.sizes.wordnet)

    @cached_property
    def crossover(self) -> list[corpora.Document]:
        """As many as the largest table takes, and those that are queries and inserted rows."""
        size = self.sizes.crossover
        apart = CROSSOVER_QUERIES + CROSSOVER_INSERTS
        found = self._documents(self.wordnet_folder, "WordNet")
        return corpora.sample(found, size + apart if size else 0, seed=5)

    @cached_property
    def embedded(self) -> list[str]:
        """Abstracts that are sent to be embedded."""
        chosen = corpora.sample(self.scifact, self.sizes.embeddings, seed=6)
        return [document.whole for document in chosen]

    @property
    def claims(self) -> list[str]:
        count = self.sizes.queries
        claims = [query.text for query in self.scifact_queries[0]]
        return claims[:count] if count else claims

    def _documents(self, folder: Path | None, name: str) -> list[corpora.Document]:
        return corpora.documents(_given(folder, name))


def _given(folder: Path | None, name: str) -> Path:
    if folder is None:
        raise DataMissing(f"this part needs {name}: give --data FOLDER or --{name.lower()} FOLDER")
    if not (folder / "corpus.jsonl").is_file():
        raise DataMissing(f"{folder} holds no corpus.jsonl: it is no data folder of {name}")
    return folder


def drop(running: service.Running, collection: str) -> None:
    names = {one["name"] for one in running.client.get("/v1/collections")["items"]}
    if collection in names:
        running.client.request("DELETE", f"/v1/collections/{collection}")
