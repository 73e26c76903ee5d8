"""The clients of a scene, each in a thread of its own."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from benchmarks.fire.scene import Scene
from benchmarks.fire.searcher import Searcher
from benchmarks.fire.writer import Writer

Work = Callable[[], None]


def writers(scene: Scene, documents: int) -> list[Work]:
    """They share the documents d0, d1 and so on, and may insert as many again."""
    count = scene.rates.writers
    return [
        Writer(
            scene,
            f"w{no}",
            [f"d{one}" for one in range(no, documents, count)],
            inserts=documents // count,
        ).run
        for no in range(count)
    ]


def searchers(scene: Scene, name: str = "s") -> list[Work]:
    return [Searcher(scene, f"{name}{no}").run for no in range(scene.rates.searchers)]


@contextlib.contextmanager
def at_work(scene: Scene, work: Sequence[Work]) -> Iterator[list["Future[None]"]]:
    """They work as long as the context, which then ends the scene; raises what one raised."""
    with ThreadPoolExecutor(len(work)) as threads:
        futures = [threads.submit(one) for one in work]
        try:
            yield futures
        finally:
            scene.ended.set()
    for future in futures:
        future.result()


def probe(scene: Scene, most: int) -> None:
    """Exact searches by what is stored, first what clients wrote, and by what is gone."""
    searcher, chance = Searcher(scene, "probe"), scene.chance("probe")
    texts = scene.shelf.all()
    filled = {doc for doc in texts if len(scene.history.writes[doc]) == 1 and doc[0] == "d"}
    written, others = sorted(texts.keys() - filled), sorted(filled)
    chance.shuffle(written)
    chance.shuffle(others)
    with contextlib.closing(searcher):
        for doc in [*written, *others][:most]:
            searcher.by(texts[doc], doc, exact=True)
        for _ in range(most // 10):
            former = scene.shelf.gone(chance)
            if former is not None:
                searcher.by(former, None, exact=True)
