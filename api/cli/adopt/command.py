"""The command `vecmark adopt` and its options."""

import dataclasses
from typing import Any

import click

from api.cli import errors as cli_errors
from api.cli import flags, output, signals
from api.cli.adopt import report, run
from indexing import errors

SETTINGS = (*flags.MODELS, "device")


@click.command()
@click.option("-c", "--collection", required=True, help="Collection to create.")
@click.option("--table", required=True, help="Table or view, optionally with its schema.")
@click.option("--id-column", required=True, help="Column that holds the ids.")
@click.option("--text-column", required=True, help="Column that holds the texts.")
@click.option("--embedding-column", required=True, help="Column of type vector or halfvec.")
@click.option(
    "--metadata-column",
    "metadata_columns",
    multiple=True,
    help="Column to keep as metadata: jsonb, or any other under its name. Repeatable.",
)
@click.option(
    "--model",
    "claimed",
    multiple=True,
    help="Model that may have made the vectors. Repeatable.  [default: all available models]",
)
@click.option(
    "--from", "source", help="URL of the table's database.  [default: Vecmark's own database]"
)
@click.option(
    "--sample",
    type=click.IntRange(1, 100_000),
    default=report.Request.sample,
    show_default=True,
    help="How many random rows to embed again.",
)
@click.option(
    "--least-cosine",
    type=click.FloatRange(0.9, 1),
    default=report.Request.least_cosine,
    show_default=True,
    help="Minimum cosine at which two vectors count as the same.",
)
@click.option(
    "--least-share",
    type=click.FloatRange(0.5, 1),
    default=report.Request.least_share,
    show_default=True,
    help="Minimum share of the sampled rows that must reach --least-cosine.",
)
@click.option("--dry-run", is_flag=True, help="Only compare; create nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@flags.options(SETTINGS)
def adopt(as_json: bool, **options: Any) -> None:
    """Turn a pgvector table into a collection and keep its vectors.

    The model that made the vectors may be unknown or only assumed: a random sample of the texts is
    embedded again with each model. If the vectors match one model, the rows become documents that
    keep their vectors; otherwise nothing is created.
    """
    settings = flags.load({name: options.pop(name) for name in SETTINGS})
    fields = {field.name for field in dataclasses.fields(report.Request)}
    request = report.Request(**{key: value for key, value in options.items() if key in fields})
    adoption = report.AdoptReport(request, quiet=as_json)
    failure = None
    try:
        signals.run(run.adopt(settings, request, adoption))
    except signals.Interrupted as error:
        raise cli_errors.Failure("interrupted; no collection was created") from error
    except errors.IndexingError as error:
        failure = str(error)
    if as_json:
        output.as_json(adoption.as_json())
    if failure is not None:
        raise cli_errors.Failure(failure)
