"""A short run under fire: every process is killed while clients write and search."""

from pathlib import Path

import pytest

from benchmarks.fire import options, repeated_work, scenario
from benchmarks.fire.context import Rates
from tests import databases

# Low enough that HNSW is built too, so that a killed builder's work is redone.
SETTINGS = {"HNSW_MIN_ROWS": "1000"}


@pytest.mark.slow
def test_nothing_is_lost_stale_or_mixed_whoever_is_killed(model_cache: Path):
    """Two spaces with equal dimensions, so that a vector of the other space would go unnoticed."""
    run_options = options.RunOptions(
        documents=1500,
        seconds=20,
        pauses_s=(1.0, 3.0),
        soaking_s=6,
        idle_s=2,
        source=options.STATIC,
        target=options.PROMPTED,
        probes=500,
        rates=Rates(writers=4, writes_s=30, searchers=4, searches_s=20),
        settings=SETTINGS,
    )
    with databases.open_directory() as folder:
        result = scenario.run(folder, run_options, print, cache=model_cache)
    assert result.faults == [], str(result)
    assert set(result.kills()) >= {"api", "postgres", "worker-1", "worker-2"}, str(result)
    assert max(result.repeated) <= repeated_work.MAX_CHUNKS, str(result)
    assert sum(result.waiting.values()) == 0, str(result)
