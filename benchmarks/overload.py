"""Part `overload`: answers, memory and recovery under far more load than the service can take."""

from dataclasses import dataclass

from benchmarks import configuration, embeddings, latency, load_generator, metrics, processes, table

PART = "overload"
QUERIES = 50
BUSY_BODIES = 16
LIMIT_MB = 1500.0
ALL = table.Target("figure", ">=", 1.0)
AS_BEFORE = table.Target("ratio", "<=", 1.2)


@dataclass(frozen=True)
class Results:
    answers: load_generator.Answers
    idle_mb: float
    peak_mb: float
    before: list[float]
    after: list[float]


def run(config: configuration.Config) -> list[table.Row]:
    """The clients resend as soon as they get an answer, ignoring `Retry-After`."""
    texts = config.embedded[: BUSY_BODIES * load_generator.TEXTS]
    queries = config.claims[:QUERIES]
    with config.serving() as running:
        embeddings.warm(config, running.port)
        latency.query_times(running, queries)
        before = latency.query_times(running, queries)
        clients = config.overload_clients
        config.log(f"{PART}: {clients} clients for {config.overload_s:g} s")
        job = load_generator.Job(
            running.port, embeddings.bodies(texts), clients=clients, seconds=config.overload_s
        )
        with processes.Watch(running.pid) as watch:
            idle_mb = watch.now_mb()
            answers = load_generator.run(job)
        # The service has closed the idle connection; the next request opens a new one.
        running.client.close()
        after = latency.query_times(running, queries)
    return _rows(config, Results(answers, idle_mb, watch.peak_mb, before, after))


def _rows(config: configuration.Config, results: Results) -> list[table.Row]:
    answers = results.answers
    total = sum(answers.statuses.values())
    taken = answers.statuses.get(str(load_generator.OK), 0)
    busy = answers.statuses.get(str(load_generator.BUSY), 0)
    size = (
        f"{config.overload_clients} clients x {load_generator.TEXTS} texts, {answers.seconds:.0f} s"
    )
    counts = ", ".join(f"{number:,} x {name}" for name, number in sorted(answers.statuses.items()))
    odd = f"; {answers.odd}" if answers.odd else ""
    texts_s = taken * load_generator.TEXTS / answers.seconds
    return [
        table.Row(
            PART,
            f"answered by {load_generator.OK} or {load_generator.BUSY}, {size}",
            (taken + busy) / total,
            target=ALL,
            note=f"{counts}; {metrics.format_number(texts_s)} texts/s embedded{odd}",
        ),
        table.Row(
            PART,
            f"{load_generator.BUSY} with Retry-After",
            1.0 if not busy else 1 - answers.without_retry_after / busy,
            target=ALL,
            note="no 429 was sent" if not busy else f"of {busy:,}",
        ),
        table.Row(
            PART,
            "peak RSS without PostgreSQL",
            results.peak_mb,
            unit="MB",
            beside="before",
            other=results.idle_mb,
            target=table.Target("figure", "<=", LIMIT_MB),
        ),
        table.medians(
            PART,
            "a query afterwards",
            results.after,
            beside="before",
            other_values=results.before,
            target=AS_BEFORE,
            note=f"{len(results.after)} queries each",
        ),
    ]
