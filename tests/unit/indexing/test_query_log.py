"""The latency of searches that were answered lately."""

import uuid

from indexing.query_log import QueryLog


def test_p95_is_the_nearest_rank_of_the_last_ten_seconds():
    now = 0.0
    log = QueryLog(keeps=False, clock=lambda: now)
    collection = uuid.uuid4()
    log.note(collection, "an old and slow one", 60.0)
    now = 10.5
    for no in range(1, 21):
        log.note(collection, "a boat", no / 1000)
    assert log.p95_ms() == 19.0


def test_a_few_searches_say_nothing():
    log = QueryLog(keeps=False, clock=lambda: 0.0)
    for _ in range(4):
        log.note(uuid.uuid4(), "a boat", 0.01)
    assert log.p95_ms() is None
    log.note(uuid.uuid4(), "a boat", 0.01)
    assert log.p95_ms() == 10.0
