"""Starts a run's clients, each in its own thread."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from benchmarks.fire.context import RunContext
from benchmarks.fire.searcher import Searcher
from benchmarks.fire.writer import Writer

Task = Callable[[], None]


def writers(context: RunContext, documents: int) -> list[Task]:
    """Writers that split the documents d0, d1 and so on, and may insert as many again."""
    count = context.rates.writers
    return [
        Writer(
            context,
            f"w{no}",
            [f"d{number}" for number in range(no, documents, count)],
            inserts=documents // count,
        ).run
        for no in range(count)
    ]


def searchers(context: RunContext, name: str = "s") -> list[Task]:
    return [Searcher(context, f"{name}{no}").run for no in range(context.rates.searchers)]


@contextlib.contextmanager
def running(context: RunContext, tasks: Sequence[Task]) -> Iterator[list["Future[None]"]]:
    """Run the tasks while the context is open, then end the phase; re-raise a task's exception."""
    with ThreadPoolExecutor(len(tasks)) as threads:
        futures = [threads.submit(task) for task in tasks]
        try:
            yield futures
        finally:
            context.ended.set()
    for future in futures:
        future.result()


def probe(context: RunContext, limit: int) -> None:
    """Search exactly for stored texts, first for those clients wrote, and for removed texts."""
    searcher, random_ = Searcher(context, "probe"), context.random_for("probe")
    texts = context.known_documents.texts()
    initial = {doc for doc in texts if len(context.history.writes[doc]) == 1 and doc[0] == "d"}
    written, unwritten = sorted(texts.keys() - initial), sorted(initial)
    random_.shuffle(written)
    random_.shuffle(unwritten)
    with contextlib.closing(searcher):
        for doc in [*written, *unwritten][:limit]:
            searcher.search(texts[doc], doc, exact=True)
        for _ in range(limit // 10):
            text = context.known_documents.pick_former_text(random_)
            if text is not None:
                searcher.search(text, None, exact=True)
