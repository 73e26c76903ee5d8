"""The command: `python -m benchmarks --help`."""

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
    child,
    client,
    crossover,
    embeddings,
    environment,
    infinity,
    ingest,
    int8,
    latency,
    memory,
    overload,
    plan,
    quality,
    search,
    service,
    table,
)
from benchmarks.fire import figures as fire
from benchmarks.fire import wish
from benchmarks.reembed import part as reembed

# `search` uses the collection that `memory` leaves.
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
# Only when named: they choose a setting, or take long.
NAMED_ONLY = {"crossover", "reembed", "fire"}
FAILURES = (
    child.ChildFailed,
    client.Refused,
    plan.DataMissing,
    service.CommandFailed,
    service.NotRunning,
)
SIZES = {
    "scifact": "documents of the parts quality and int8, those that any query wants first",
    "ingest": "documents of the part ingest",
    "torch": "of these, those that sentence-transformers takes too",
    "wordnet": "documents of the parts memory and search",
    "bare_wordnet": "of these, those that the bare encoder takes",
    "queries": "queries of each kind in the part search, and of the part latency",
    "embeddings": "texts of the parts embeddings, latency, int8 and overload",
    "crossover": "vectors in the largest table of the part crossover",
    "reembed": "documents of SciFact whose backfill is timed in the part reembed",
    "switched": "documents of its cut-over and rollback",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all was measured, whatever the figures are."""
    given = _parser().parse_args(arguments)
    rows: list[table.Row] = []
    try:
        with _folder(given.work) as folder:
            what = _plan(given, folder)
            for line in _measure(what, given.parts or _usual(), rows):
                print(line, flush=True)
    except FAILURES as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if rows:
            print(f"\n{table.render(rows)}", flush=True)
    if given.json:
        given.json.write_text(json.dumps([row.to_dict() for row in rows], indent=2) + "\n")
    return 0


def _measure(what: plan.Plan, parts: Sequence[str], rows: list[table.Row]) -> Iterator[str]:
    """Lines to show at once; the rows of each part are added as soon as it is done."""
    what.check(parts)
    what.say("a first start: the database is made, the model converted")
    with what.serving() as running:
        yield environment.describe(running)
    for part in parts:
        started = time.monotonic()
        rows += PARTS[part](what)
        yield f"{part}: done in {time.monotonic() - started:.0f} s"


def _usual() -> list[str]:
    return [part for part in PARTS if part not in NAMED_ONLY]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=benchmarks.__doc__,
        epilog=f"To measure Infinity too, {infinity.ADVICE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="; ".join(PARTS))
    parser.add_argument("--data", type=Path, help="the folder that holds scifact/ and wordnet/")
    parser.add_argument("--scifact", type=Path, help="where SciFact lies, if elsewhere")
    parser.add_argument("--wordnet", type=Path, help="where WordNet lies, if elsewhere")
    parser.add_argument(
        "--runs", type=int, default=3, help="of each rate that is measured in turns (default: 3)"
    )
    parser.add_argument(
        "--full", action="store_true", help="all documents in the parts ingest and memory"
    )
    defaults = plan.Sizes()
    for name, help_ in SIZES.items():
        size = getattr(defaults, name)
        option = f"--{name.replace('_', '-')}-size"
        parser.add_argument(option, type=int, help=f"{help_} (0: all; default: {size})")
    parser.add_argument(
        "--overload-clients", type=int, default=200, help="of the part overload (default: 200)"
    )
    parser.add_argument(
        "--overload-seconds", type=float, default=60, help="how long they send (default: 60)"
    )
    _add_fire(parser)
    parser.add_argument(
        "--infinity",
        type=Path,
        metavar="ENV",
        help=f"the environment of Infinity {infinity.VERSION}, for the part embeddings",
    )
    parser.add_argument("--work", type=Path, help="where to keep the data (default: not kept)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the service, as HNSW_MIN_ROWS=1000",
    )
    parser.add_argument("--json", type=Path, help="write the rows of the table there too")
    return parser


def _add_fire(parser: argparse.ArgumentParser) -> None:
    usual = plan.Fire()
    parser.add_argument(
        "--fire-documents",
        type=int,
        default=usual.documents,
        help=f"of the part fire (default: {usual.documents:,})",
    )
    parser.add_argument(
        "--fire-seconds",
        type=float,
        default=usual.seconds,
        help=f"how long it burns at least (default: {usual.seconds:g})",
    )
    parser.add_argument(
        "--fire-seed",
        type=int,
        default=usual.seed,
        help="another one, other clients and kills",
    )
    parser.add_argument(
        "--fire-models",
        nargs=2,
        default=[usual.source, usual.target],
        choices=wish.MODELS,
        metavar=("FROM", "TO"),
        help=f"two of {', '.join(wish.MODELS)} (default: {usual.source} {usual.target})",
    )


def _plan(given: argparse.Namespace, folder: Path) -> plan.Plan:
    unknown = sorted(set(given.parts) - set(PARTS))
    if unknown:
        raise plan.DataMissing(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    usual = plan.Sizes(ingest=0, bare_wordnet=0) if given.full else plan.Sizes()
    sizes = {
        field.name: value
        for field in fields(plan.Sizes)
        if (value := getattr(given, f"{field.name}_size")) is not None
    }
    return plan.Plan(
        folder=folder,
        scifact_folder=given.scifact or (given.data and given.data / "scifact"),
        wordnet_folder=given.wordnet or (given.data and given.data / "wordnet"),
        sizes=plan.Sizes(**{**vars(usual), **sizes}),
        runs=max(1, given.runs),
        infinity=given.infinity and given.infinity.absolute(),
        overload_clients=given.overload_clients,
        overload_s=given.overload_seconds,
        fire=plan.Fire(
            given.fire_documents, given.fire_seconds, given.fire_seed, *given.fire_models
        ),
        settings=dict(one.split("=", 1) for one in given.set),
        say=_say,
    )


@contextlib.contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    """A folder that others may pass through: as root, PostgreSQL runs as another user."""
    with contextlib.ExitStack() as stack:
        if wanted is None:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="vecmark-bench-"))
            folder = Path(name).resolve()
            folder.chmod(0o711)
        else:
            folder = wanted.expanduser().resolve()
            folder.mkdir(parents=True, exist_ok=True)
        yield folder


def _leave(number: int, _frame: FrameType | None) -> None:
    """Ended from outside: the services under test are stopped on the way out."""
    sys.exit(128 + number)


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _leave)
    sys.exit(main())
