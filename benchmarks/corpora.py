"""Corpora in BEIR's format, read in place and never copied."""

import csv
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Document:
    id: str
    title: str
    text: str

    @property
    def whole(self) -> str:
        """The text that is embedded."""
        return f"{self.title} {self.text}".strip()


@dataclass(frozen=True)
class Query:
    id: str
    text: str


Judgments = dict[str, dict[str, int]]


def documents(folder: Path) -> list[Document]:
    return [
        Document(line["_id"], line.get("title", ""), line["text"])
        for line in _lines(folder / "corpus.jsonl")
    ]


def judged_queries(folder: Path) -> tuple[list[Query], Judgments]:
    """The queries that have judgments, and for each query the relevance of its documents."""
    judgments: Judgments = {}
    with (folder / "qrels.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            judgments.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    queries = [Query(line["_id"], line["text"]) for line in _lines(folder / "queries.jsonl")]
    return [query for query in queries if query.id in judgments], judgments


def sample(documents: Sequence[Document], count: int, *, seed: int = 0) -> list[Document]:
    """`count` random documents, the same for the same seed; all of them if `count` is 0."""
    if count == 0 or count >= len(documents):
        return list(documents)
    return random.Random(seed).sample(list(documents), count)


def with_relevant(
    documents: Sequence[Document], judgments: Judgments, count: int, *, seed: int = 0
) -> list[Document]:
    """`count` documents, those relevant to a query first; all of them if `count` is 0."""
    if count == 0 or count >= len(documents):
        return list(documents)
    relevant_ids = {id_ for relevant in judgments.values() for id_ in relevant}
    relevant = [document for document in documents if document.id in relevant_ids]
    others = [document for document in documents if document.id not in relevant_ids]
    return (relevant + random.Random(seed).sample(others, len(others)))[:count]


def ndjson(documents: Sequence[Document]) -> list[bytes]:
    """The documents as the lines of an NDJSON request."""
    return [
        json.dumps({"id": document.id, "text": document.whole}, ensure_ascii=False).encode() + b"\n"
        for document in documents
    ]


def _lines(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8") as content:
        return [json.loads(line) for line in content if line.strip()]
