"""How soon one query is embedded over HTTP, alone and while the encoder is busy with texts."""

import asyncio
import contextlib
import functools
import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

from benchmarks import bare, child, embeddings, load, metrics, plan, service, table

PART = "latency"
WARM_QUERIES = 20
# The service and the encoder alone take turns of so many: their threads would meet otherwise.
TURN = 20
# Beside a load queries come at random, so many a second on average: back to back they would be a
# load of their own.
QUERIES_A_SECOND = 20.0
OVER_BARE_MS = table.Target("difference", "<=", 1.5)
OVER_IDLE = table.Target("ratio", "<=", 5.0)
BULK_KEPT = table.Target("ratio", ">=", 0.85)


@dataclass
class Times:
    """Milliseconds of each query; of the load texts a second, one value for each run."""

    idle: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    loaded: list[float] = field(default_factory=list)
    bulk_alone: list[float] = field(default_factory=list)
    bulk: list[float] = field(default_factory=list)


class TooFew(plan.DataMissing):
    """The texts were embedded before a query came."""


def run(what: plan.Plan) -> list[table.Row]:
    found, count = Times(), len(what.embedded)
    with what.serving() as running:
        embeddings.warm(what, running.port)
        what.say(f"{PART}: {len(what.claims)} queries, beside the bare encoder")
        _idle(what, running, found)
        bulk = load.Job(running.port, embeddings.bodies(what.embedded))
        for no in range(1, what.runs + 1):
            what.say(f"{PART}, run {no} of {what.runs}: {count:,} texts, without and with queries")
            found.bulk_alone.append(load.rate(bulk, count))
            answers, times = _beside(running, bulk, what.claims)
            found.bulk.append(count / answers.seconds)
            found.loaded += times
    return _rows(found)


def times(running: service.Running, texts: Sequence[str]) -> list[float]:
    """Milliseconds of each text as a query, one after the other."""
    send = _sender(running)
    return [metrics.milliseconds(send, body) for body in _queries(texts)]


def _queries(texts: Sequence[str]) -> list[bytes]:
    model = f"{embeddings.MODEL}:query"
    return [body.encode() for text in texts for body in embeddings.bodies([text], model)]


def _sender(running: service.Running) -> Callable[[bytes], bytes]:
    return functools.partial(running.client.post, load.PATH)


def _idle(what: plan.Plan, running: service.Running, found: Times) -> None:
    loaded = bare.load(what.data_dir)
    with contextlib.closing(loaded), asyncio.Runner() as runner:
        encode = bare.query_encoder(loaded, runner)
        for text in what.claims[:WARM_QUERIES]:
            encode(text)
        times(running, what.claims[:WARM_QUERIES])
        for start in range(0, len(what.claims), TURN):
            some = what.claims[start : start + TURN]
            found.idle += times(running, some)
            found.bare += [metrics.milliseconds(encode, text) for text in some]


def _beside(
    running: service.Running, bulk: load.Job, texts: Sequence[str]
) -> tuple[load.Answers, list[float]]:
    """The answers of the load, and the times of the queries that came during it."""
    # The service may have closed it in the meantime; the next request opens it again.
    running.client.close()
    send, found = _sender(running), []
    with child.started(load.MODULE, asdict(bulk)) as others:
        for query in _while(others, _queries(texts)):
            started = time.monotonic()
            found.append((started, metrics.milliseconds(send, query), time.monotonic()))
        answers = load.all_answered(load.Answers(**others.answer()))
    during = [
        ms for started, ms, ended in found if answers.started <= started and ended <= answers.ended
    ]
    if not during:
        raise TooFew(f"the part {PART} needs more texts: no query came while they were embedded")
    return answers, during


def _while(others: child.Child, queries: Sequence[bytes]) -> Iterator[bytes]:
    pause = random.Random(7)
    for query in itertools.cycle(queries):
        time.sleep(pause.expovariate(QUERIES_A_SECOND))
        if not others.is_running:
            return
        yield query


def _rows(found: Times) -> list[table.Row]:
    idle, loaded = metrics.median(found.idle), metrics.median(found.loaded)
    load_ = f"{load.CLIENTS} clients x {load.TEXTS} texts"
    queries = f"{len(found.loaded)} queries, {QUERIES_A_SECOND:g} a second"
    return [
        table.medians(
            PART,
            "a query over HTTP",
            found.idle,
            beside="bare encoder's encode_query",
            others=found.bare,
            target=OVER_BARE_MS,
            note=f"{len(found.idle)} queries, one connection",
        ),
        table.Row(
            PART,
            "p99, the same",
            metrics.percentile(found.idle, 99),
            unit="ms",
            beside="p99 of the same",
            other=metrics.percentile(found.bare, 99),
        ),
        table.Row(
            PART,
            f"median beside {load_}",
            loaded,
            unit="ms",
            beside="its median alone",
            other=idle,
            note=queries,
        ),
        table.Row(
            PART,
            f"p99 beside {load_}",
            metrics.percentile(found.loaded, 99),
            unit="ms",
            beside="its median alone",
            other=idle,
            target=OVER_IDLE,
            note=queries,
        ),
        table.Row(
            PART,
            f"{load_} beside the queries",
            metrics.median(found.bulk),
            unit="texts/s",
            beside="without queries",
            other=metrics.median(found.bulk_alone),
            target=BULK_KEPT,
            note=f"{metrics.runs(found.bulk)} beside {metrics.spread(found.bulk_alone)}",
        ),
    ]
