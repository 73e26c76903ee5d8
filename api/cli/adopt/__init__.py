import dataclasses
from typing import Any

import click

from api.cli import errors as cli_errors
from api.cli import flags, output
from api.cli.adopt import report

SETTINGS = (*flags.MODELS, "device")


@click.command()
@click.option("-c", "--collection", required=True, help="The collection to make.")
@click.option("--table", required=True, help="The table (or view), perhaps with its schema.")
@click.option("--id-column", required=True, help="Its column with the documents' ids.")
@click.option("--text-column", required=True, help="Its column with the texts.")
@click.option("--embedding-column", required=True, help="Its column of vector or halfvec.")
@click.option(
    "--metadata-column",
    "metadata_columns",
    multiple=True,
    help="A column to keep as metadata: jsonb, or any other under its name. Repeatable.",
)
@click.option(
    "--model",
    "claimed",
    multiple=True,
    help="A model that may have made the vectors. Repeatable.  [default: every one at hand]",
)
@click.option(
    "--from", "source", help="The URL of the table's database.  [default: Vecmark's own database]"
)
@click.option(
    "--sample",
    type=click.IntRange(1, 100_000),
    default=report.Request.sample,
    show_default=True,
    help="How many random rows are embedded again.",
)
@click.option(
    "--least-cosine",
    type=click.FloatRange(0.9, 1),
    default=report.Request.least_cosine,
    show_default=True,
    help="From which cosine on a vector counts as the same.",
)
@click.option(
    "--least-share",
    type=click.FloatRange(0.5, 1),
    default=report.Request.least_share,
    show_default=True,
    help="The share of the sampled rows that must reach it.",
)
@click.option("--dry-run", is_flag=True, help="Compare only.")
@click.option("--json", "as_json", is_flag=True, help="All that was found, as JSON.")
@flags.options(SETTINGS)
def adopt(as_json: bool, **options: Any) -> None:
    """Make a collection of a pgvector table whose model is unknown or only claimed.

    A random sample of its texts is embedded again with each model. Where the vectors are those of
    one, the table's rows become documents that keep their vectors; else nothing is made.
    """
    given = {name: options.pop(name) for name in SETTINGS}
    fields = {field.name for field in dataclasses.fields(report.Request)}
    request = report.Request(**{key: value for key, value in options.items() if key in fields})
    chosen = flags.load(given)
    from api.cli import signals
    from api.cli.adopt import run
    from indexing import errors

    outcome = report.AdoptReport(request, quiet=as_json)
    refused = None
    try:
        signals.run(run.adopt(chosen, request, outcome))
    except signals.Interrupted as error:
        raise cli_errors.Failure("interrupted; no collection was made") from error
    except errors.IndexingError as error:
        refused = str(error)
    if as_json:
        output.as_json(outcome.as_json())
    if refused is not None:
        raise cli_errors.Failure(refused)
