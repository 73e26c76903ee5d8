"""Fills the collection before the kills, starts the migration, and embeds texts for the checks."""

import contextlib
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import client, corpora, load_generator
from benchmarks.fire.context import RunContext
from benchmarks.fire.cutover import Side
from benchmarks.fire.history import Write
from benchmarks.fire.options import RunOptions
from benchmarks.fire.table_checks import Embed
from benchmarks.fire.texts import Texts

COLLECTION = "fire"
# Short, so that long texts have several chunks.
CHUNK_TOKENS = 64
EMBEDDERS = 3


@dataclass(frozen=True)
class Migration:
    id: str
    source: Side
    target: Side

    @classmethod
    def from_response(cls, response: dict[str, Any]) -> "Migration":
        return cls(response["id"], _side(response["source"]), _side(response["target"]))


def _side(response: dict[str, Any]) -> Side:
    return Side(response["index"], response["space"]["id"])


def fill(context: RunContext, options: RunOptions) -> None:
    """Create the collection and send its first documents as one stream."""
    chunking = {"strategy": "sentence", "size": CHUNK_TOKENS}
    texts = Texts(f"{options.seed}d", options.corpus)
    documents = [corpora.Document(f"d{no}", "", texts.new()) for no in range(options.documents)]
    with contextlib.closing(client.Client(context.port)) as http:
        http.request(
            "POST",
            "/v1/collections",
            {"name": context.collection, "model": options.source, "chunking": chunking},
        )
        started = time.monotonic()
        http.ingest(context.collection, corpora.ndjson(documents))
        answered = time.monotonic()
        # So that a model never used here is converted now, not under fire.
        http.post(
            load_generator.PATH, load_generator.bodies(["ready?"], model=options.target)[0].encode()
        )
    for document in documents:
        context.known_documents.put(document.id, document.text)
        context.history.add_writes(
            Write(
                doc=document.id,
                kind="put",
                invoked=started,
                answered=answered,
                outcome="ok",
                text=document.text,
            )
        )


def start_migration(context: RunContext, options: RunOptions) -> Migration:
    with contextlib.closing(client.Client(context.port)) as http:
        response = http.request(
            "POST",
            f"{context.path}/migrations",
            {"model": options.target, "max_rate": options.max_rate, "retain": "24h"},
        )
    return Migration.from_response(response)


def embedder(port: int) -> Embed:
    """A function that embeds texts with the service itself."""

    def embed(fingerprint: str, texts: Any) -> NDArray[np.float32]:
        bodies = load_generator.bodies(texts, model=fingerprint, encoding_format="base64")
        parts = [bodies[no::EMBEDDERS] for no in range(EMBEDDERS)]
        with ThreadPoolExecutor(EMBEDDERS) as threads:
            by_thread = list(threads.map(lambda part: list(_embedded(port, part)), parts))
        in_order = itertools.chain.from_iterable(itertools.zip_longest(*by_thread))
        return np.concatenate([vectors for vectors in in_order if vectors is not None])

    return embed


def _embedded(port: int, bodies: list[str]) -> Iterator[NDArray[np.float32]]:
    with contextlib.closing(client.Client(port)) as http:
        for body in bodies:
            yield load_generator.vectors(http.post(load_generator.PATH, body.encode()))
