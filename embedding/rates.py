import concurrent.futures
import time
from collections.abc import Mapping
from typing import TypeVar

from embedding import batching, encoder

ROUNDS = 3
Key = TypeVar("Key")


def measure(
    running: Mapping[Key, encoder.Encoder], rows: encoder.Rows, *, pooled_from: int = 0
) -> dict[Key, float]:
    """Rows a second of each encoder, the best of some rounds.

    In turns, so that what else runs here slows all of them.
    """
    best = dict.fromkeys(running, float("inf"))
    for _ in range(ROUNDS):
        for key, encodes in running.items():
            started = time.perf_counter()
            _encode_all(encodes, rows, pooled_from)
            best[key] = min(best[key], time.perf_counter() - started)
    return {key: len(rows) / seconds for key, seconds in best.items()}


def _encode_all(encodes: encoder.Encoder, rows: encoder.Rows, pooled_from: int) -> None:
    batches = batching.plan(
        [len(row) for row in rows],
        batch_tokens=encodes.batch_tokens,
        max_rows=encodes.batch_rows,
    )
    with concurrent.futures.ThreadPoolExecutor(encodes.lanes) as threads:
        for _ in threads.map(
            lambda batch: encodes.bulk([rows[no] for no in batch], pooled_from), batches
        ):
            pass
