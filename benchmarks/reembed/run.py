"""Part `reembed`: runs all measurements of re-embed migrations."""

from benchmarks import configuration, corpora, table
from benchmarks.reembed import (
    backfill,
    cutover_and_rollback,
    gates,
    prepared_service,
    recreated_documents,
)

PART = "reembed"


def run(config: configuration.Config) -> list[table.Row]:
    """Measure everything; log each row as soon as it is known, since it takes long."""
    documents = corpora.sample(config.scifact, config.sizes.reembed, seed=8)
    rows: list[table.Row] = []
    with prepared_service.serving(config) as prepared:
        for measure in (
            lambda: backfill.rows(prepared, documents),
            lambda: cutover_and_rollback.rows(prepared, config.sizes.switched),
            lambda: recreated_documents.rows(prepared, documents),
            lambda: gates.rows(prepared),
        ):
            new_rows = measure()
            for row in new_rows:
                config.log(" | ".join(cell for cell in row.cells() if cell))
            rows += new_rows
    return rows
