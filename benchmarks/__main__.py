"""The command line of the benchmarks: `python -m benchmarks --help`."""

import argparse
import contextlib
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from types import FrameType

import benchmarks
from benchmarks import (
    child_process,
    client,
    configuration,
    crossover,
    embeddings,
    environment,
    infinity,
    ingest,
    int8,
    latency,
    memory,
    overload,
    quality,
    search,
    service,
    table,
)
from benchmarks.fire import options
from benchmarks.fire import report as fire
from benchmarks.reembed import run as reembed

# In the order they run: `search` uses the collection that `memory` leaves behind.
PARTS = {
    "quality": quality.run,
    "ingest": ingest.run,
    "memory": memory.run,
    "search": search.run,
    "embeddings": embeddings.run,
    "latency": latency.run,
    "int8": int8.run,
    "overload": overload.run,
    "crossover": crossover.run,
    "reembed": reembed.run,
    "fire": fire.run,
}
# They run only when named: they help to choose a setting, or take long.
NAMED_ONLY = {"crossover", "reembed", "fire"}
FAILURES = (
    child_process.ChildFailed,
    client.Refused,
    configuration.DataMissing,
    service.CommandFailed,
    service.NotRunning,
)
SIZES = {
    "scifact": "documents in quality and int8, those relevant to a query first",
    "ingest": "documents in ingest",
    "torch": "how many of these sentence-transformers also embeds",
    "wordnet": "documents in memory and search",
    "bare_wordnet": "how many of these the bare encoder embeds",
    "queries": "queries of each kind in search, and queries in latency",
    "embeddings": "texts in embeddings, latency, int8 and overload",
    "crossover": "vectors in the largest table of crossover",
    "reembed": "SciFact documents in the timed backfill of reembed",
    "switched": "documents in the cutover and rollback of reembed",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 if everything was measured, whatever the figures are."""
    arguments = _parser().parse_args(argv)
    rows: list[table.Row] = []
    try:
        with _work_folder(arguments.work) as folder:
            config = _configuration(arguments, folder)
            for line in _measure(config, arguments.parts or _default_parts(), rows):
                print(line, flush=True)
    except FAILURES as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if rows:
            print(f"\n{table.render(rows)}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps([row.to_dict() for row in rows], indent=2) + "\n")
    return 0


def _measure(
    config: configuration.Config, parts: Sequence[str], rows: list[table.Row]
) -> Iterator[str]:
    """Yield lines to print now; add the rows of each part as soon as it is done."""
    config.check(parts)
    config.log("first start: creating the database and converting the model")
    with config.serving() as running:
        yield environment.describe(running)
    for part in parts:
        started = time.monotonic()
        rows += PARTS[part](config)
        yield f"{part}: done in {time.monotonic() - started:.0f} s"


def _default_parts() -> list[str]:
    return [part for part in PARTS if part not in NAMED_ONLY]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=benchmarks.__doc__,
        epilog=f"To measure Infinity too, {infinity.ADVICE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="; ".join(PARTS))
    parser.add_argument("--data", type=Path, help="folder with scifact/ and wordnet/")
    parser.add_argument("--scifact", type=Path, help="SciFact's folder, if elsewhere")
    parser.add_argument("--wordnet", type=Path, help="WordNet's folder, if elsewhere")
    parser.add_argument(
        "--runs", type=int, default=3, help="runs of each rate that is compared (default: 3)"
    )
    parser.add_argument(
        "--full", action="store_true", help="use all documents in ingest and memory"
    )
    defaults = configuration.Sizes()
    for name, help_ in SIZES.items():
        size = getattr(defaults, name)
        option = f"--{name.replace('_', '-')}-size"
        parser.add_argument(option, type=int, help=f"{help_} (0: all; default: {size})")
    parser.add_argument(
        "--overload-clients", type=int, default=200, help="clients in overload (default: 200)"
    )
    parser.add_argument(
        "--overload-seconds",
        type=float,
        default=60,
        help="how long they send requests (default: 60)",
    )
    _add_fire(parser)
    parser.add_argument(
        "--infinity",
        type=Path,
        metavar="ENV",
        help=f"virtual environment with Infinity {infinity.VERSION}, for embeddings",
    )
    parser.add_argument("--work", type=Path, help="folder to keep the data in (default: not kept)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the service, such as HNSW_MIN_ROWS=1000",
    )
    parser.add_argument("--json", type=Path, help="also write the table's rows to this file")
    return parser


def _add_fire(parser: argparse.ArgumentParser) -> None:
    defaults = configuration.FireSettings()
    parser.add_argument(
        "--fire-documents",
        type=int,
        default=defaults.documents,
        help=f"documents in fire (default: {defaults.documents:,})",
    )
    parser.add_argument(
        "--fire-seconds",
        type=float,
        default=defaults.seconds,
        help=f"minimum duration of fire (default: {defaults.seconds:g})",
    )
    parser.add_argument(
        "--fire-seed",
        type=int,
        default=defaults.seed,
        help="random seed of the clients and the kills in fire",
    )
    parser.add_argument(
        "--fire-models",
        nargs=2,
        default=[defaults.source, defaults.target],
        choices=options.MODELS,
        metavar=("FROM", "TO"),
        help=f"models of fire, two of {', '.join(options.MODELS)} "
        f"(default: {defaults.source} {defaults.target})",
    )


def _configuration(arguments: argparse.Namespace, folder: Path) -> configuration.Config:
    unknown = sorted(set(arguments.parts) - set(PARTS))
    if unknown:
        raise configuration.DataMissing(
            f"unknown part {unknown[0]!r}; the parts are {', '.join(PARTS)}"
        )
    default_sizes = (
        configuration.Sizes(ingest=0, bare_wordnet=0) if arguments.full else configuration.Sizes()
    )
    sizes = {
        field.name: value
        for field in fields(configuration.Sizes)
        if (value := getattr(arguments, f"{field.name}_size")) is not None
    }
    return configuration.Config(
        folder=folder,
        scifact_folder=arguments.scifact or (arguments.data and arguments.data / "scifact"),
        wordnet_folder=arguments.wordnet or (arguments.data and arguments.data / "wordnet"),
        sizes=configuration.Sizes(**{**vars(default_sizes), **sizes}),
        runs=max(1, arguments.runs),
        infinity=arguments.infinity and arguments.infinity.absolute(),
        overload_clients=arguments.overload_clients,
        overload_s=arguments.overload_seconds,
        fire=configuration.FireSettings(
            arguments.fire_documents,
            arguments.fire_seconds,
            arguments.fire_seed,
            *arguments.fire_models,
        ),
        settings=dict(setting.split("=", 1) for setting in arguments.set),
        log=_log,
    )


@contextlib.contextmanager
def _work_folder(work_folder: Path | None) -> Iterator[Path]:
    """A folder other users can traverse: run as root, PostgreSQL runs as another user."""
    with contextlib.ExitStack() as stack:
        if work_folder is None:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="vecmark-bench-"))
            folder = Path(name).resolve()
            folder.chmod(0o711)
        else:
            folder = work_folder.expanduser().resolve()
            folder.mkdir(parents=True, exist_ok=True)
        yield folder


def _exit_on_signal(number: int, _frame: FrameType | None) -> None:
    """Exit by an exception on SIGTERM, so that the services under test are stopped."""
    sys.exit(128 + number)


def _log(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _exit_on_signal)
    sys.exit(main())
