"""Corpora as BEIR keeps them: read where they lie, never copied."""

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
        """What is embedded."""
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
    """The queries that have a judgment, and for each query the relevance of documents."""
    judgments: Judgments = {}
    with (folder / "qrels.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            judgments.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    queries = [Query(line["_id"], line["text"]) for line in _lines(folder / "queries.jsonl")]
    return [query for query in queries if query.id in judgments], judgments


def sample(found: Sequence[Document], count: int, *, seed: int = 0) -> list[Document]:
    """`count` of them at random, always the same for a seed; all of them where `count` is 0."""
    if count == 0 or count >= len(found):
        return list(found)
    return random.Random(seed).sample(list(found), count)


def with_relevant(
    found: Sequence[Document], judgments: Judgments, count: int, *, seed: int = 0
) -> list[Document]:
    """`count` documents, those that any query wants first; all of them where `count` is 0."""
    if count == 0 or count >= len(found):
        return list(found)
    wanted = {id_ for relevant in judgments.values() for id_ in relevant}
    kept = [document for document in found if document.id in wanted]
    others = [document for document in found if document.id not in wanted]
    return (kept + random.Random(seed).sample(others, len(others)))[:count]


def ndjson(found: Sequence[Document]) -> list[bytes]:
    """The documents as lines that the service takes."""
    return [
        json.dumps({"id": one.id, "text": one.whole}, ensure_ascii=False).encode() + b"\n"
        for one in found
    ]


def _lines(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8") as content:
        return [json.loads(line) for line in content if line.strip()]
