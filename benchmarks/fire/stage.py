"""What is there before the fire: a collection with documents, and the migration once it began."""

import contextlib
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import client, corpora, load
from benchmarks.fire.cutover import Side
from benchmarks.fire.history import Write
from benchmarks.fire.scene import Scene
from benchmarks.fire.tables import Embed
from benchmarks.fire.texts import Texts
from benchmarks.fire.wish import Wish

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
    def shown(cls, content: dict[str, Any]) -> "Migration":
        return cls(content["id"], _side(content["source"]), _side(content["target"]))


def _side(shown: dict[str, Any]) -> Side:
    return Side(shown["index"], shown["space"]["id"])


def fill(scene: Scene, wish: Wish) -> None:
    """Make the collection, and its first documents by one stream."""
    chunking = {"strategy": "sentence", "size": CHUNK_TOKENS}
    texts = Texts(f"{wish.seed}d", wish.corpus)
    documents = [corpora.Document(f"d{no}", "", texts.new()) for no in range(wish.documents)]
    with contextlib.closing(client.Client(scene.port)) as http:
        http.request(
            "POST",
            "/v1/collections",
            {"name": scene.collection, "model": wish.source, "chunking": chunking},
        )
        begun = time.monotonic()
        http.ingest(scene.collection, corpora.ndjson(documents))
        answered = time.monotonic()
        # A model that was never used here is converted now, not under fire.
        http.post(load.PATH, load.bodies(["ready?"], model=wish.target)[0].encode())
    for one in documents:
        scene.shelf.put(one.id, one.text)
        scene.history.wrote(
            Write(
                doc=one.id,
                kind="put",
                invoked=begun,
                answered=answered,
                outcome="ok",
                text=one.text,
            )
        )


def begin(scene: Scene, wish: Wish) -> Migration:
    with contextlib.closing(client.Client(scene.port)) as http:
        shown = http.request(
            "POST",
            f"{scene.path}/migrations",
            {"model": wish.target, "max_rate": wish.max_rate, "retain": "24h"},
        )
    return Migration.shown(shown)


def embedder(port: int) -> Embed:
    """Vectors as the service makes them for texts that are sent to be embedded."""

    def embed(fingerprint: str, texts: Any) -> NDArray[np.float32]:
        bodies = load.bodies(texts, model=fingerprint, encoding_format="base64")
        parts = [bodies[no::EMBEDDERS] for no in range(EMBEDDERS)]
        with ThreadPoolExecutor(EMBEDDERS) as threads:
            found = list(threads.map(lambda part: list(_embedded(port, part)), parts))
        in_order = itertools.chain.from_iterable(itertools.zip_longest(*found))
        return np.concatenate([one for one in in_order if one is not None])

    return embed


def _embedded(port: int, bodies: list[str]) -> Iterator[NDArray[np.float32]]:
    with contextlib.closing(client.Client(port)) as http:
        for body in bodies:
            yield load.vectors(http.post(load.PATH, body.encode()))
