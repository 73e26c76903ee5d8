"""The part `reembed` of the benchmarks."""

from benchmarks import corpora, plan, table
from benchmarks.reembed import backfill, gates, recreation, stage, switching

PART = "reembed"


def run(what: plan.Plan) -> list[table.Row]:
    """Each figure is said as soon as it is known: all of them take long."""
    documents = corpora.sample(what.scifact, what.sizes.reembed, seed=8)
    rows: list[table.Row] = []
    with stage.serving(what) as place:
        for measure in (
            lambda: backfill.rows(place, documents),
            lambda: switching.rows(place, what.sizes.switched),
            lambda: recreation.rows(place, documents),
            lambda: gates.rows(place),
        ):
            found = measure()
            for row in found:
                what.say(" | ".join(cell for cell in row.cells() if cell))
            rows += found
    return rows
