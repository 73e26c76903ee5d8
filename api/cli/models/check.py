import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from api.cli import errors, flags, output
from api.cli.models import show

if TYPE_CHECKING:
    from embedding.canaries import check as canary_check
    from embedding.conversion import comparison
    from embedding.model import LoadedModel
    from embedding.model_files import description

COLUMNS = ("backend", "natural", "edge", "level", "texts/s", "compared with")
SERVES = ("backend", "dtype", "reason")


@click.command()
@click.argument("name", required=False)
@click.option("--fast", is_flag=True, help="Only the backend that serves, without torch.")
@flags.options((*flags.MODELS, "device"))
def check(name: str | None, fast: bool, **given: Any) -> None:
    """Embed about 50 test texts on every backend: which vectors each makes, and how fast.

    Status 1 where the backend that serves makes others than it should.
    """
    chosen = flags.load(given)
    from embedding import loading
    from embedding.conversion import comparison

    found = show.describe(chosen, name)
    output.line(f"Loading {found.name} ...", err=True)
    loaded = loading.load(found, cache_dir=chosen.cache_dir, device=chosen.device)
    try:
        report = asyncio.run(loaded.check_canaries())
    finally:
        loaded.close()
    if not fast:
        output.line("Comparing what this machine can run it on ...", err=True)
        _table(comparison.compare(found, device=chosen.device), loaded.build)
    _tell(found, loaded, report)


def _table(compared: Sequence["comparison.BackendComparison"], build: Mapping[str, Any]) -> None:
    rows = []
    for one in compared:
        is_serving = (one.backend, one.dtype) == (build["backend"], build["dtype"])
        device = "" if one.device == "cpu" else f" {one.device}"
        name = f"{'* ' if is_serving else '  '}{one.backend} {one.dtype}{device}"
        if one.failure:
            rows.append((name, "", "", "failed", "", one.failure))
            continue
        worst = f"{one.worst_natural:.6f}", f"{one.worst_edge:.6f}"
        rows.append((name, *worst, one.level, f"{one.rate:.1f}", one.against))
    output.table(COLUMNS, rows)


def _tell(
    found: "description.ModelDescription",
    loaded: "LoadedModel",
    report: "canary_check.CanaryReport",
) -> None:
    other = "torch" if found.int8 is None else "the vectors of its quantisation"
    output.line(f"{found.name} makes vectors of {loaded.space.dimensions} dimensions.")
    output.line(f"space: {loaded.space.fingerprint}")
    output.line(f"compared with {other}: {report.describe()}")
    why = loaded.build["reason"] or "the first choice here, and its vectors agree"
    output.line(f"serves: {loaded.build['backend']} {loaded.build['dtype']}: {why}")
    _show_build({key: part for key, part in loaded.build.items() if key not in SERVES})
    if report.level == "refuse":
        raise errors.Failure(f"{found.name} makes other vectors here than with {other}")
    if report.level == "warn":
        output.line(f"Warning: the vectors differ slightly from {other}'s", err=True)


def _show_build(build: Mapping[str, Any]) -> None:
    for key, value in build.items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        for name_of_part, part in parts:
            if part not in (None, ""):
                output.line(f"{key} {name_of_part}".rstrip() + f": {part}")
