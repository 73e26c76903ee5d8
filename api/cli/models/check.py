"""`vecmark models check`."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import click

from api.cli import errors, flags, output, tables
from api.cli.models import show
from embedding import loading
from embedding.canaries import check as canary_check
from embedding.conversion import comparison
from embedding.model import LoadedModel
from embedding.model_files import description

COLUMNS = ("backend", "natural", "edge", "level", "texts/s", "compared with")
# Printed together in one line, the rest of a build one by one.
SERVING_KEYS = ("backend", "dtype", "reason")


@click.command()
@click.argument("name", required=False)
@click.option("--fast", is_flag=True, help="Check only the backend that serves, without torch.")
@flags.options((*flags.MODELS, "device"))
def check(name: str | None, fast: bool, **flag_values: Any) -> None:
    """Compare a model's vectors on every backend.

    Embeds about 50 test texts on each backend and shows how close the vectors are and how fast it
    is. The exit code is 1 if the vectors of the serving backend are wrong.
    """
    settings = flags.load(flag_values)
    model = show.describe_model(settings, name)
    output.line(f"Loading {model.name} ...", err=True)
    loaded = loading.load(model, cache_dir=settings.cache_dir, device=settings.device)
    try:
        report = asyncio.run(loaded.check_canaries())
    finally:
        loaded.close()
    if not fast:
        output.line("Comparing the backends of this machine ...", err=True)
        _show_comparisons(comparison.compare(model, device=settings.device), loaded.build)
    _show_report(model, loaded, report)


def _show_comparisons(
    comparisons: Sequence[comparison.BackendComparison], build: Mapping[str, Any]
) -> None:
    rows = []
    for result in comparisons:
        is_serving = (result.backend, result.dtype) == (build["backend"], build["dtype"])
        device = "" if result.device == "cpu" else f" {result.device}"
        name = f"{'* ' if is_serving else '  '}{result.backend} {result.dtype}{device}"
        if result.failure:
            rows.append((name, "", "", "failed", "", result.failure))
            continue
        worst = f"{result.worst_natural:.6f}", f"{result.worst_edge:.6f}"
        rows.append((name, *worst, result.level, f"{result.rate:.1f}", result.against))
    tables.show(COLUMNS, rows)


def _show_report(
    model: description.ModelDescription,
    loaded: LoadedModel,
    report: canary_check.CanaryReport,
) -> None:
    reference = "torch" if model.int8 is None else "its quantisation"
    output.line(f"{model.name} makes vectors of {loaded.space.dimensions} dimensions.")
    output.line(f"space: {loaded.space.fingerprint}")
    output.line(f"compared with {reference}: {report.describe()}")
    reason = loaded.build["reason"] or "the first choice here, and its vectors match"
    output.line(f"serves: {loaded.build['backend']} {loaded.build['dtype']}: {reason}")
    _show_build({key: part for key, part in loaded.build.items() if key not in SERVING_KEYS})
    if report.level == "refuse":
        raise errors.Failure(
            f"{model.name}: the vectors of this machine differ from those of {reference}"
        )
    if report.level == "warn":
        output.line(f"Warning: the vectors differ slightly from those of {reference}", err=True)


def _show_build(build: Mapping[str, Any]) -> None:
    for key, value in build.items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        for name, part in parts:
            if part not in (None, ""):
                output.line(f"{key} {name}".rstrip() + f": {part}")
