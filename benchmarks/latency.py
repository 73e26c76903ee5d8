"""Part `latency`: time to embed one query over HTTP, idle and during a bulk load."""

import asyncio
import contextlib
import functools
import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

from benchmarks import (
    bare_encoder,
    child_process,
    configuration,
    embeddings,
    load_generator,
    metrics,
    service,
    table,
)

PART = "latency"
WARM_QUERIES = 20
# Queries per turn: otherwise the threads of the service and of the bare encoder would compete.
TURN = 20
# Average rate of the queries during a load, at random times: back to back they would be a load of
# their own.
QUERIES_A_SECOND = 20.0
OVER_BARE_MS = table.Target("difference", "<=", 1.5)
OVER_IDLE = table.Target("ratio", "<=", 5.0)
BULK_KEPT = table.Target("ratio", ">=", 0.85)


@dataclass
class Times:
    """Milliseconds per query; texts per second of the bulk load, one value per run."""

    idle: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    loaded: list[float] = field(default_factory=list)
    bulk_alone: list[float] = field(default_factory=list)
    bulk: list[float] = field(default_factory=list)


class TooFew(configuration.DataMissing):
    """The bulk load finished before the first query."""


def run(config: configuration.Config) -> list[table.Row]:
    times, count = Times(), len(config.embedded)
    with config.serving() as running:
        embeddings.warm(config, running.port)
        config.log(f"{PART}: {len(config.claims)} queries, compared with the bare encoder")
        _idle(config, running, times)
        bulk = load_generator.Job(running.port, embeddings.bodies(config.embedded))
        for no in range(1, config.runs + 1):
            config.log(
                f"{PART}, run {no} of {config.runs}: {count:,} texts, without and with queries"
            )
            times.bulk_alone.append(load_generator.rate(bulk, count))
            answers, query_ms = _beside(running, bulk, config.claims)
            times.bulk.append(count / answers.seconds)
            times.loaded += query_ms
    return _rows(times)


def query_times(running: service.RunningService, texts: Sequence[str]) -> list[float]:
    """Milliseconds per text, each sent as a query, one at a time."""
    send = _sender(running)
    return [metrics.milliseconds(send, body) for body in _queries(texts)]


def _queries(texts: Sequence[str]) -> list[bytes]:
    model = f"{embeddings.MODEL}:query"
    return [body.encode() for text in texts for body in embeddings.bodies([text], model)]


def _sender(running: service.RunningService) -> Callable[[bytes], bytes]:
    return functools.partial(running.client.post, load_generator.PATH)


def _idle(config: configuration.Config, running: service.RunningService, times: Times) -> None:
    loaded = bare_encoder.load(config.data_dir)
    with contextlib.closing(loaded), asyncio.Runner() as runner:
        encode = bare_encoder.query_encoder(loaded, runner)
        for text in config.claims[:WARM_QUERIES]:
            encode(text)
        query_times(running, config.claims[:WARM_QUERIES])
        for start in range(0, len(config.claims), TURN):
            queries = config.claims[start : start + TURN]
            times.idle += query_times(running, queries)
            times.bare += [metrics.milliseconds(encode, text) for text in queries]


def _beside(
    running: service.RunningService, bulk: load_generator.Job, texts: Sequence[str]
) -> tuple[load_generator.Answers, list[float]]:
    """The answers of the load, and the times of the queries that ran during it."""
    # The service may have closed the idle connection; the next request opens a new one.
    running.client.close()
    send, timed = _sender(running), []
    with child_process.started(load_generator.MODULE, asdict(bulk)) as load:
        for query in _while(load, _queries(texts)):
            started = time.monotonic()
            timed.append((started, metrics.milliseconds(send, query), time.monotonic()))
        answers = load_generator.all_answered(load_generator.Answers(**load.answer()))
    during = [
        ms for started, ms, ended in timed if answers.started <= started and ended <= answers.ended
    ]
    if not during:
        raise TooFew(f"the part {PART} needs more texts: the load ended before the first query")
    return answers, during


def _while(load: child_process.Child, queries: Sequence[bytes]) -> Iterator[bytes]:
    pause = random.Random(7)
    for query in itertools.cycle(queries):
        time.sleep(pause.expovariate(QUERIES_A_SECOND))
        if not load.is_running:
            return
        yield query


def _rows(times: Times) -> list[table.Row]:
    return [*_idle_rows(times), *_loaded_rows(times)]


def _idle_rows(times: Times) -> list[table.Row]:
    return [
        table.medians(
            PART,
            "a query over HTTP",
            times.idle,
            beside="bare encoder's encode_query",
            other_values=times.bare,
            target=OVER_BARE_MS,
            note=f"{len(times.idle)} queries, one connection",
        ),
        table.Row(
            PART,
            "p99, the same",
            metrics.percentile(times.idle, 99),
            unit="ms",
            beside="p99 of the same",
            other=metrics.percentile(times.bare, 99),
        ),
    ]


def _loaded_rows(times: Times) -> list[table.Row]:
    idle = metrics.median(times.idle)
    clients = f"{load_generator.CLIENTS} clients x {load_generator.TEXTS} texts"
    queries = f"{len(times.loaded)} queries, {QUERIES_A_SECOND:g} per second"
    return [
        table.Row(
            PART,
            f"median during {clients}",
            metrics.median(times.loaded),
            unit="ms",
            beside="its median alone",
            other=idle,
            note=queries,
        ),
        table.Row(
            PART,
            f"p99 during {clients}",
            metrics.percentile(times.loaded, 99),
            unit="ms",
            beside="its median alone",
            other=idle,
            target=OVER_IDLE,
            note=queries,
        ),
        table.Row(
            PART,
            f"{clients} during queries",
            metrics.median(times.bulk),
            unit="texts/s",
            beside="without queries",
            other=metrics.median(times.bulk_alone),
            target=BULK_KEPT,
            note=f"{metrics.format_runs(times.bulk)} vs {metrics.format_range(times.bulk_alone)}",
        ),
    ]
