"""Far more than the service can take: what it answers, its memory, and a query afterwards."""

from dataclasses import dataclass

from benchmarks import embeddings, latency, load, metrics, plan, processes, table

PART = "overload"
QUERIES = 50
BUSY_BODIES = 16
LIMIT_MB = 1500.0
ALL = table.Target("figure", ">=", 1.0)
AS_BEFORE = table.Target("ratio", "<=", 1.2)


@dataclass(frozen=True)
class Found:
    answers: load.Answers
    idle_mb: float
    peak_mb: float
    before: list[float]
    after: list[float]


def run(what: plan.Plan) -> list[table.Row]:
    """The clients send again as soon as they are answered, whatever `Retry-After` says."""
    texts = what.embedded[: BUSY_BODIES * load.TEXTS]
    queries = what.claims[:QUERIES]
    with what.serving() as running:
        embeddings.warm(what, running.port)
        latency.times(running, queries)
        before = latency.times(running, queries)
        clients = what.overload_clients
        what.say(f"{PART}: {clients} clients for {what.overload_s:g} s")
        job = load.Job(
            running.port, embeddings.bodies(texts), clients=clients, seconds=what.overload_s
        )
        with processes.Watch(running.pid) as watch:
            idle_mb = watch.now_mb()
            answers = load.run(job)
        # The service has closed it in the meantime; the next request opens it again.
        running.client.close()
        after = latency.times(running, queries)
    return _rows(what, Found(answers, idle_mb, watch.peak_mb, before, after))


def _rows(what: plan.Plan, found: Found) -> list[table.Row]:
    answers = found.answers
    total = sum(answers.statuses.values())
    taken = answers.statuses.get(str(load.OK), 0)
    busy = answers.statuses.get(str(load.BUSY), 0)
    size = f"{what.overload_clients} clients x {load.TEXTS} texts, {answers.seconds:.0f} s"
    counts = ", ".join(f"{number:,} x {name}" for name, number in sorted(answers.statuses.items()))
    odd = f"; {answers.odd}" if answers.odd else ""
    texts_s = taken * load.TEXTS / answers.seconds
    return [
        table.Row(
            PART,
            f"answered by {load.OK} or {load.BUSY}, {size}",
            (taken + busy) / total,
            target=ALL,
            note=f"{counts}; {metrics.figure(texts_s)} texts/s embedded{odd}",
        ),
        table.Row(
            PART,
            f"{load.BUSY} with Retry-After",
            1.0 if not busy else 1 - answers.without_retry_after / busy,
            target=ALL,
            note="none was needed" if not busy else f"of {busy:,}",
        ),
        table.Row(
            PART,
            "peak RSS without PostgreSQL",
            found.peak_mb,
            unit="MB",
            beside="before",
            other=found.idle_mb,
            target=table.Target("figure", "<=", LIMIT_MB),
        ),
        table.medians(
            PART,
            "a query afterwards",
            found.after,
            beside="before",
            others=found.before,
            target=AS_BEFORE,
            note=f"{len(found.after)} queries each",
        ),
    ]
