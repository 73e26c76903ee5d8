"""Counts the chunks that killed workers had encoded but not written, from the workers' logs."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

ENCODED, WRITTEN = "backfill_encoded", "backfill_written"
# Two batches of 64 chunks may be in flight.
MAX_CHUNKS = 128


def unwritten_chunks(log: Iterable[str]) -> int:
    """Chunks of the batches that this process encoded but didn't write."""
    in_flight: dict[str, int] = {}
    for event in events(log):
        batch = str(event.get("batch"))
        if event["event"] == ENCODED:
            in_flight[batch] = int(str(event["chunks"]))
        elif event["event"] == WRITTEN:
            in_flight.pop(batch, None)
    return sum(in_flight.values())


def encoded_chunks(logs: Iterable[Path]) -> int:
    """Chunks encoded by all processes, repeated work included."""
    return sum(
        int(str(event["chunks"]))
        for log in logs
        for event in events(lines(log))
        if event["event"] == ENCODED
    )


def lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()


def events(log: Iterable[str]) -> Iterator[dict[str, object]]:
    """The log lines that are events; the last line may be incomplete."""
    for line in log:
        if not line.startswith("{"):
            continue
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if isinstance(content, dict) and "event" in content:
            yield content
