"""The part `reembed` of the benchmarks."""

from benchmarks import corpora, plan, table
from benchmarks.reembed import backfill, gates, recreation, stage, switching

PART = "reembed"


def run(what: plan.Plan) -> list[table.Row]:
    documents = corpora.sample(what.scifact, what.sizes.reembed, seed=8)
    with stage.serving(what) as place:
        return [
            *backfill.rows(place, documents),
            *switching.rows(place, what.sizes.switched),
            *recreation.rows(place, documents),
            *gates.rows(place),
        ]
