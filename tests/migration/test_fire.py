"""Re-embed under fire, the short form: everything is killed while clients write and search."""

from pathlib import Path

import pytest

from benchmarks.fire import repeated, run, wish
from benchmarks.fire.scene import Rates
from tests import databases

# HNSW is built, too, and a killed builder's work is done again.
SETTINGS = {"HNSW_MIN_ROWS": "1000"}


@pytest.mark.slow
def test_nothing_is_lost_stale_or_mixed_whoever_is_killed(model_cache: Path):
    """Two spaces of equal dimensions: a vector of the other one would be stored and compared."""
    chosen = wish.Wish(
        documents=1500,
        seconds=20,
        pauses_s=(1.0, 3.0),
        soaking_s=6,
        idle_s=2,
        source=wish.STATIC,
        target=wish.PROMPTED,
        probes=500,
        rates=Rates(writers=4, writes_s=30, searchers=4, searches_s=20),
        settings=SETTINGS,
    )
    with databases.open_directory() as folder:
        outcome = run.fire(folder, chosen, print, cache=model_cache)
    assert outcome.faults == [], str(outcome)
    assert set(outcome.kills()) >= {"api", "postgres", "worker-1", "worker-2"}, str(outcome)
    assert max(outcome.repeated) <= repeated.MOST, str(outcome)
    assert sum(outcome.lacking.values()) == 0, str(outcome)
